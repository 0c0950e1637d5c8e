#include <lariat/loop/loop.hpp>
#include <lariat/task/leg.hpp>

#include "loop/expectation.hpp"
#include "loop/first_loop.hpp"
#include "loop/loop_state.hpp"

#include <cerrno>
#include <cstdlib>
#include <stdexcept>
#include <string_view>

#include <sched.h>

namespace lariat {

namespace detail {

namespace {

bool debug_asked() noexcept {
    const char* asked = std::getenv("LARIAT_DEBUG");
    return asked != nullptr && *asked != '\0' && std::string_view(asked) != "0";
}

}  // namespace

loop_state::loop_state(loop& face, const run_options& chosen)
    : face_(face),
      options_(chosen),
      driver_(chosen.driver),
      box_(std::make_shared<mailbox>(driver_)),
      signals_(driver_),
      root_(&loop_state::root_child_finished, told_of::all_but_values) {
    scheduler::root = &root_;
    scheduler::debug = chosen.debug || debug_asked();
    scheduler::report = &loop_state::report_failure;
    if (driver_.sim() != nullptr) {
        scheduler::virtual_now = [](const scheduler& self) noexcept {
            return static_cast<const loop_state&>(self).driver_.now();
        };
    }
}

loop_state::~loop_state() { close(); }

void loop_state::turn() {
    ++turns_;
    // First, so that a turn never sleeps after it has run what its caller waits for.
    poll();
    if (!box_->empty()) call_posted();
    if (signals_.has_news()) [[unlikely]]
        handle_signals();
    if (!timers.empty()) {
        turn_time = now();
        timers.fire_due(turn_time, legs_per_turn);
    }
    run_ready();
}

void loop_state::run_ready() {
    if (!ready.empty()) worked_ = true;
    for (int left = legs_per_turn; left > 0 && !ready.empty(); --left) {
        const ready_item item = ready.pop();
        ++legs_;
        fetch_ahead(ready.front());
        if (debug) [[unlikely]] {
            run_watched(item);
        } else {
            run_item(item, *this);
        }
    }
}

void loop_state::call_posted() {
    worked_ = true;
    auto messages = box_->take();
    while (!messages.empty()) {
        posted& message = messages.pop_front();
        try {
            message.ended(message, posted::end::call);
        } catch (...) {
            report_failure(*this, nullptr, std::current_exception(), true);
        }
    }
}

void expectation::set(scheduler& home, bool now) noexcept {
    loop_state& loop = static_cast<loop_state&>(home);
    loop.progressed_ = true;
    if (now == std::exchange(set_, now)) return;
    if (now) {
        loop.expect();
    } else {
        loop.expect_no_more();
    }
}

// A turn that has run something is followed by some that only look.
bool loop_state::spins() noexcept {
    if (options_.spin.count() == 0) [[likely]] {
        if (expected_ == 0 || !options_.brief_spin) [[likely]]
            return false;
        if (!brief_.looks_again(clock::now(), std::exchange(progressed_, false))) return false;
        (void)::sched_yield();  // who is expected may have to run on this core
        return true;
    }
    const time_point moment = clock::now();
    if (std::exchange(worked_, false))
        spin_until_ = saturating_add(moment, saturated(options_.spin));
    return moment < spin_until_;
}

bool loop_state::ask(op& poll) noexcept {
    const bool would_look = options_.spin.count() != 0 || (options_.brief_spin && brief_.looks());
    if (!would_look || handing_over_ || asked_.full()) return false;
    asked_.add(poll);
    return true;
}

bool loop_state::end_asking(op& poll) noexcept {
    if (!asked_.forget(poll)) return false;
    // Whoever ends it may run while another loop does, or none, on this thread.
    scheduler* const running = std::exchange(this_scheduler, this);
    poll.result = -ECANCELED;
    poll.complete(poll);
    this_scheduler = running;
    return true;
}

void loop_state::hand_over() noexcept {
    handing_over_ = true;
    while (!asked_.empty()) {
        op& poll = asked_.take();
        if (driver_.submit(poll)) poll.complete(poll);
    }
    handing_over_ = false;
}

// Waits only when nothing can run; else it just looks at what the kernel has.
void loop_state::poll() {
    const bool awake = !ready.empty() || spins();
    if (!asked_.empty()) {
        if (awake && ready.empty()) {
            asked_.look();
        } else {  // it looks no more
            hand_over();
        }
    }
    if (awake || !ready.empty() || !box_->sleep()) {
        driver_.poll(no_wait);
        return;
    }
    const bool waited = expected_ != 0;  // by now: the word itself may end the sleep
    driver_.poll(timers.next());
    if (waited) [[unlikely]]
        brief_.woke(clock::now());
    box_->awake();
}

void loop_state::drive(party& main) {
    main_ = &main;
    while (main.state != party_state::finished) turn();
    main_ = nullptr;
    if (debug && root_.pending != 0) [[unlikely]]
        report_left();
    root_.cancel_root();
    while (root_.pending != 0) turn();
    // A socket that its task let go of is closed before the run ends.
    while (orphans_ != 0) turn();
    // What was asked for until now is still called; what that asks for waits for the next run, or
    // a call that asks for itself again would keep this one from ending.
    all_before_.reached = false;
    ready.push(all_before_);
    while (!all_before_.reached) turn();
    end_late_tasks();
    while (orphans_ != 0) {
        turn();
        end_late_tasks();
    }
}

// Those that the last calls spawned: their scope was cancelled, so none of them begins. The calls
// stay, in their order.
void loop_state::end_late_tasks() noexcept {
    const auto at_mark = [this](ready_item item) {
        return item.is_call() && &item.call() == &all_before_;
    };
    for (bool found = true; std::exchange(found, false);) {
        ready.push(all_before_);
        for (ready_item item = ready.pop(); !at_mark(item); item = ready.pop()) {
            if (item.is_call()) {
                ready.push(item.call());
            } else {
                run_item(item, *this);
                found = true;
            }
        }
    }
}

void loop_state::finish_run(party& main) {
    end_signals(main.outcome == party_outcome::cancelled);
    const std::exception_ptr error = std::exchange(failed_, nullptr);
    if (!error) return;
    if (main.unclaimed_error) {  // only one can be thrown
        main.claim_error();
        report_failure(*this, &main, promise_base::of(main.leaf).failure(), false);
    }
    std::rethrow_exception(error);
}

void loop_state::shut_objects() noexcept {
    if (!driver_.at_home()) {  // a forked child's copy: what is under way is the parent's
        while (!objects_.empty()) objects_.front().detach();
        return;
    }
    while (!objects_.empty()) {
        io_object& object = objects_.front();
        object.shut(object);
    }
    while (driver_.stats().in_flight != 0) driver_.poll(forever);
}

void loop_state::close() noexcept {
    if (closed_) return;
    closed_ = true;
    scheduler* const outer = std::exchange(this_scheduler, this);
    root_.cancel_root();  // one that has never run
    shut_objects();
    signals_.close();
    box_->close();
    scheduled_call::drop_all(*this);
    while (!unclaimed_.empty()) {  // their handles may outlive this loop
        party& failed = unclaimed_.front();
        failed.claim_error();
        report_failure(*this, &failed, promise_base::of(failed.leaf).failure(), false);
    }
    this_scheduler = outer;
}

void loop_state::root_child_finished(group_core&, party& p) noexcept {
    if (p.outcome != party_outcome::error) return;
    if (p.refs > 1) {
        p.unclaimed_error = true;  // a handle is held: it may still ask
        static_cast<loop_state*>(this_scheduler)->unclaimed_.push_back(p);
    } else {
        report_failure(*this_scheduler, &p, promise_base::of(p.leaf).failure(), true);
    }
}

}  // namespace detail

loop::loop(const run_options& options) {
    detail::note_loop();
    state_ = std::make_unique<detail::loop_state>(*this, options);
}

loop::~loop() { close(); }

loop& loop::current() noexcept { return detail::loop_state::current().face_; }

namespace {
void require_same(const scheduler* here, const scheduler* asked, const char* what) noexcept {
    if (here == asked) [[likely]]
        return;
    if (here == nullptr) detail::no_scheduler(what);
    detail::require(false,
                    "call_soon, call_later and call_at are for the loop that runs on this thread; "
                    "another one is asked by its post(fn)");
}
}  // namespace

void loop::schedule_soon(detail::scheduled_call& call, scheduler* here) const noexcept {
    require_same(here, state_.get(), "call_soon");
    call.schedule_soon(*here);
}

void loop::schedule_at(detail::scheduled_call& call, time_point when,
                       scheduler* here) const noexcept {
    require_same(here, state_.get(), "call_at");
    call.schedule_at(*here, when);
}

time_point loop::now() const noexcept { return state_->now(); }

const std::shared_ptr<mailbox>& loop::box() const noexcept { return state_->box_; }

loop_stats loop::stats() const {
    loop_stats now;
    now.driver = state_->driver_.stats();
    now.backend_reason = state_->driver_.reason();
    now.turns = state_->turns_;
    now.legs = state_->legs_;
    now.tasks = state_->root_.pending;
    now.timers = state_->timers.size();
    return now;
}

void loop::close() noexcept {
    detail::require(!state_->running_,
                    "a loop is closed when it does not run: let its main task end");
    state_->close();
}

loop::session::session(loop& which) : loop_(which) {
    if (this_scheduler != nullptr) {
        throw std::logic_error(
            "lariat: a loop is running on this thread already.\n"
            "  wrong: lariat::run(work()) inside a task\n"
            "  right: co_await work(), or run a second loop on a thread of its own");
    }
    if (which.state_->closed_) throw std::logic_error("lariat: this loop was closed; make another");
    which.state_->begin_signals();
    this_scheduler = which.state_.get();
    which.state_->running_ = true;
    which.state_->root_.open_root();
}

loop::session::~session() {
    loop_.state_->signals_.end_run();
    loop_.state_->running_ = false;
    this_scheduler = nullptr;
}

void loop::drive(party& main) { state_->drive(main); }

void loop::finish_run(party& main) { state_->finish_run(main); }

}  // namespace lariat
