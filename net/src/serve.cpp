#include <lariat/net/serve.hpp>

#include <chrono>
#include <stdexcept>
#include <string>
#include <utility>

namespace lariat::detail {

namespace {

task<> stop_at_signal(cancel_scope& accepting, signals which) {
    const int number = co_await which.wait();
    (void)number;
    accepting.cancel();
}

}  // namespace

void check_options(const serve_options& options) {
    if (options.max_connections == 0)
        throw std::invalid_argument(
            "serve_options.max_connections is 0, and so nobody would ever be served; "
            "give 1 or more");
    if (options.drain < duration::zero()) {
        const std::chrono::duration<double> seconds = options.drain;
        throw std::invalid_argument("serve_options.drain is " + std::to_string(seconds.count()) +
                                    " s; give 0 (cut at once) or more");
    }
}

connection_set::connection_set(const serve_options& options) noexcept
    : child_set(&connection_set::child_ended, told_of::all),
      timer_entry(&connection_set::drain_over),
      most_(options.max_connections),
      drain_(options.drain),
      counters_(options.counters) {
    shields_children = true;  // cancelling serve() begins the drain; the drain's end cancels them
}

connection_set::~connection_set() { end_drain(); }

const wait_kind connection_set::room_awaiter::kind_of_wait{"a connection to end",
                                                           &room_awaiter::leave};

connection_set::room_awaiter::room_awaiter(connection_set& set) noexcept
    : wait_point(kind_of_wait), set_(&set) {}

void connection_set::room_awaiter::leave(waiter& w) noexcept {
    static_cast<room_awaiter&>(w).set_->waits_for_room_ = nullptr;
    w.wake(wake_reason::cut);
}

void connection_set::add(task<> connection) {
    ++open_;
    try {
        start_in(*this, std::move(connection));
    } catch (...) {
        --open_;
        throw;
    }
    if (counters_ == nullptr) return;
    counters_->accepted.fetch_add(1, std::memory_order_relaxed);
    counters_->open.fetch_add(1, std::memory_order_relaxed);
}

void connection_set::report_failure(const std::exception_ptr& error) const noexcept {
    scheduler& here = required_scheduler("serve");
    here.report(here, acceptor_, error, false);
}

void connection_set::watch(const signals& which) {
    watcher_ = start_in(*this, stop_at_signal(accepting_, which));
}

void connection_set::child_ended(group_core& group, party& p) noexcept {
    auto& set = static_cast<connection_set&>(group);
    const bool failed = p.outcome == party_outcome::error;
    if (&p == set.acceptor_ || (set.watcher_ && &p == &set.watcher_.who())) {
        if (failed) {
            set.keep_failed(p);
            set.cancel_children();
        } else if (&p == set.acceptor_) {
            set.begin_drain();
        }
        return;
    }
    --set.open_;
    if (set.counters_ != nullptr) set.counters_->open.fetch_sub(1, std::memory_order_relaxed);
    if (failed)
        this_scheduler->report(*this_scheduler, &p, promise_base::of(p.leaf).failure(), false);
    if (set.waits_for_room_ != nullptr) std::exchange(set.waits_for_room_, nullptr)->wake();
    if (set.open_ == 0) set.end_drain();
}

void connection_set::begin_drain() noexcept {
    if (watcher_) watcher_.cancel();
    scheduler& here = *this_scheduler;
    if (drain_ == duration::zero()) {
        cancel_children();
    } else if (open_ != 0) {
        here.timers.arm(*this, saturating_add(here.now(), drain_));
    }
}

void connection_set::end_drain() noexcept {
    if (timer_entry::armed()) this_scheduler->timers.disarm(*this);
}

void connection_set::drain_over(timer_entry& due) noexcept {
    static_cast<connection_set&>(due).cancel_children();
}

const wait_kind connection_set::run_awaiter::kind_of_wait{"its connections to end",
                                                          &run_awaiter::leave};

connection_set::run_awaiter::run_awaiter(connection_set& set, task<> accepting) noexcept
    : wait_point(kind_of_wait), set_(&set), accepting_(std::move(accepting)) {}

connection_set::run_awaiter::run_awaiter(run_awaiter&& other) noexcept
    : wait_point(static_cast<wait_point&&>(other)),
      set_(other.set_),
      accepting_(std::move(other.accepting_)) {}

void connection_set::run_awaiter::begin(party& p) {
    set_->enter(p);
    set_->acceptor_ = &acceptor_;
    set_->start_child(acceptor_, accepting_.frame());
    set_->waiting = this;
}

void connection_set::run_awaiter::leave(waiter& w) noexcept {
    static_cast<run_awaiter&>(w).set_->accepting_.cancel();
}

void connection_set::run_awaiter::await_resume() {
    set_->end_drain();
    set_->leave();
    if (set_->any_failed()) set_->throw_failures();
    if (who->cancel_pending) throw_cancelled();
}

}  // namespace lariat::detail
