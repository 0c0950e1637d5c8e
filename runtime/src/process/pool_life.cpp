// The workers of a pool: how they come, how their ends are noticed, and what follows.

#include <lariat/base/error.hpp>
#include <lariat/loop/io.hpp>
#include <lariat/process/worker_died.hpp>
#include <lariat/task/nothrow.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/task_group.hpp>

#include "offload/uninterrupted.hpp"
#include "process/pool_core.hpp"
#include "process/pool_wire.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstring>
#include <optional>
#include <span>
#include <utility>

#include <unistd.h>

namespace lariat::detail {

namespace {

class ended_wait : public line_point, public single_step {
 public:
    ended_wait(wait_queue& line, bool over) noexcept
        : line_point(kind_of_wait), line_(&line), over_(over) {}

    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
        party& p = party_of(frame);
        if (over_) return pass(p, frame);
        line_->add(*this);
        park(p, frame);
        return true;
    }
    void await_resume() const { throw_if_cut(); }

 private:
    static constexpr wait_kind kind_of_wait{"a process_pool's workers to end", &wait_queue::leave};

    wait_queue* line_;
    bool over_;
};

}  // namespace

/// Lies in the frame of a place's task: however that ends, the place is over.
class process_pool_core::place_guard {
 public:
    place_guard(process_pool_core& of, std::size_t at) noexcept : of_(of), at_(at) {}
    place_guard(const place_guard&) = delete;
    place_guard& operator=(const place_guard&) = delete;
    ~place_guard() {
        if (of_.places_[at_].worker) {  // the run ends
            of_.terminate();
            of_.give_up_calls(*of_.places_[at_].worker);
            of_.places_[at_].worker.reset();  // its process goes to the loop, which ends it
        }
        of_.place_over();
    }

 private:
    process_pool_core& of_;
    std::size_t at_;
};

void process_pool_core::start() {
    places_.resize(options_.count);
    for (std::size_t at = 0; at < places_.size(); ++at) {
        places_[at].worker = std::make_unique<pool_worker>(*this, at);
        ++counts_.started;
    }
    listener_ = spawn(listen(shared_from_this()));
    for (std::size_t at = 0; at < places_.size(); ++at) {
        ++live_places_;
        spawn(tend(shared_from_this(), at));
    }
}

task<> process_pool_core::wait_ended() {
    const auto self = shared_from_this();
    ended_wait wait(enders_, live_places_ == 0);
    co_await std::move(wait);
}

void process_pool_core::place_over() noexcept {
    if (--live_places_ != 0) return;
    fail_queued(broken_.empty() ? worker_call::ending::closed : worker_call::ending::failed);
    if (listener_) listener_.cancel();
    listener_ = join_handle<>();
    enders_.wake_all();
}

task<> process_pool_core::listen(std::shared_ptr<process_pool_core> self) {
    for (;;) {
        readiness_awaiter rung = wait_readable(self->bell_.get());
        co_await std::move(rung);
        std::uint64_t count = 0;
        (void)uninterrupted([&] { return ::read(self->bell_.get(), &count, sizeof count); });
        for (const place& each : self->places_)
            if (each.worker) self->look_at(*each.worker);
    }
}

task<> process_pool_core::tend(std::shared_ptr<process_pool_core> self, std::size_t at) {
    const place_guard guard(*self, at);
    for (;;) {
        if (pool_worker* const worker = self->places_[at].worker.get(); worker != nullptr) {
            auto attending = attend(*self, *worker);
            co_await std::move(attending);
            self->worker_ended(at);
        }
        if (self->needs_nobody()) break;
        const duration length = self->pause(self->places_[at]);
        if (length > duration::zero()) {
            cancel_scope scope;
            self->places_[at].pause = &scope;
            struct forget {
                place& of;
                ~forget() { of.pause = nullptr; }
            } const at_end{self->places_[at]};
            auto waiting = scope.run(sleep(length));
            (void)co_await std::move(waiting);
        }
        if (self->needs_nobody()) break;
        self->start_again(at);
    }
}

task<> process_pool_core::attend(process_pool_core& self, pool_worker& worker) {
    // with_group keeps it for as long as it runs.
    // NOLINTNEXTLINE(cppcoreguidelines-avoid-capturing-lambda-coroutines)
    auto both = [&self, &worker](task_group& group) -> task<> {
        group.spawn(read(self, worker));
        auto watching = watch(worker);
        co_await std::move(watching);
        group.cancel();
    };
    co_await with_group(std::move(both));
    // What it has said is there, whole, though a process that a call has left behind may keep the
    // socket open.
    for (;;) {
        auto rest = worker.stream.receive();
        if (!rest.ready_now()) break;
        auto message = co_await nothrow(std::move(rest));
        const bool heard = self.hear(worker, std::move(message));
        if (!heard) break;
    }
}

task<> process_pool_core::watch(pool_worker& worker) {
    try {
        auto ending = worker.child.join();
        const process_status status = co_await std::move(ending);
        worker.exit_code = status.exit_code();
        if (const auto failed = status.exception()) {
            worker.last_words = failed->type;
            if (!failed->text.empty()) worker.last_words.append(": ").append(failed->text);
        }
    } catch (const std::system_error& error) {  // the fork server has gone, and takes it along
        worker.exit_code = -SIGKILL;
        worker.last_words = error.what();
    }
    worker.gone = true;
}

task<> process_pool_core::read(process_pool_core& self, pool_worker& worker) {
    for (;;) {
        auto incoming = worker.stream.receive();
        auto message = co_await nothrow(std::move(incoming));
        const bool heard = self.hear(worker, std::move(message));
        if (!heard) break;
    }
    worker.gone = true;
    // Its end of the stream goes with the process. If a call has closed it, it cannot be reached.
    if (!worker.stopping) worker.child.kill();
}

/// False at the end of what a worker says.
bool process_pool_core::hear(pool_worker& worker,
                             result<std::optional<parcel>>&& message) noexcept {
    if (message) {
        if (*message) take_message(worker, std::move(**message));
        return message->has_value();
    }
    if (!worker.awaited || message.error() != std::errc::too_many_files_open) return false;
    // The message is gone, and with it one call's result.
    const answer_header head = *std::exchange(worker.awaited, std::nullopt);
    if (worker_call* const call = worker.find(head.slot, head.id)) {
        call->failure = std::make_exception_ptr(
            std::system_error(message.error(), "receiving the result of a call"));
        settled(worker, *call, worker_call::ending::failed);
    }
    return true;
}

void process_pool_core::take_message(pool_worker& worker, parcel&& message) noexcept {
    pump_later();
    if (worker.awaited)
        return answered(worker, *std::exchange(worker.awaited, std::nullopt), std::move(message));
    std::span<const std::byte> left(message.bytes);
    while (left.size() >= sizeof(answer_header)) {
        answer_header head;
        std::memcpy(&head, left.data(), sizeof head);
        left = left.subspan(sizeof head);
        if (head.where == answer_place::next) {
            worker.awaited = head;
            break;
        }
        if (head.bytes > left.size()) return worker.terminate();
        parcel answer;
        try {
            answer.bytes.assign(left.data(), left.data() + head.bytes);
        } catch (...) {  // no memory for an answer
            return worker.terminate();
        }
        left = left.subspan(head.bytes);
        answered(worker, head, std::move(answer));
    }
    if (!left.empty()) worker.terminate();  // no worker says such a thing
}

bool process_pool_core::needs_nobody() const noexcept {
    return terminated_ || !broken_.empty() || nothing_to_come();
}

/// Before a worker is started: none for the first that is to take another's place.
duration process_pool_core::pause(const place& before) const noexcept {
    const std::size_t in_a_row = std::max(failures_, before.unused);
    if (in_a_row < 2) return duration::zero();
    return std::chrono::milliseconds(10) * (1U << std::min<std::size_t>(in_a_row - 2, 5));
}

void process_pool_core::start_again(std::size_t at) noexcept {
    try {
        places_[at].worker = std::make_unique<pool_worker>(*this, at);
        ++counts_.started;
        pump_later();
        const auto filled = [](const place& each) { return each.worker != nullptr; };
        if (std::ranges::all_of(places_, filled)) said_short_ = false;
    } catch (const std::exception& error) {
        could_not_start(at, error.what());
    } catch (...) {
        could_not_start(at, "it could not be started");
    }
}

/// There is no room for another process now, most likely: those that live go on.
void process_pool_core::could_not_start(std::size_t at, const char* why) noexcept {
    ++places_[at].unused;
    ++counts_.start_failures;
    const std::size_t alive = living();
    if (alive == 0) return note_failure(why);
    if (std::exchange(said_short_, true)) return;
    try {
        const auto error = std::make_exception_ptr(pool_start_error(
            "process_pool \"" + options_.name + "\" goes on with " + std::to_string(alive) +
            " of its " + std::to_string(count()) + " workers, and will try again: " + why));
        home_->report(*home_, nullptr, error, false);
    } catch (...) {  // no memory to say it
    }
}

/// Workers that take calls, or are about to.
std::size_t process_pool_core::living() const noexcept {
    const auto lives = [](const place& each) {
        return each.worker != nullptr && !each.worker->gone && !each.worker->stopping;
    };
    return static_cast<std::size_t>(std::ranges::count_if(places_, lives));
}

/// A worker did not come up. One that is closed has calls to make too, and can give up on them.
/// What ended the pool is said of all its calls alike, though another worker be on its way down
/// yet.
void process_pool_core::note_failure(const std::string& what) noexcept {
    if (++failures_ < options_.most_start_failures || terminated_ || !broken_.empty()) return;
    broken_ = std::to_string(failures_) + " workers of process_pool \"" + options_.name +
              "\" in a row did not come up; the last one: " + what;
    closing_ = true;
    fail_queued(worker_call::ending::failed);
    pump_later();  // the workers that are well are to end
}

void process_pool_core::worker_ended(std::size_t at) noexcept {
    pool_worker& worker = *places_[at].worker;
    look_at(worker);
    std::size_t& unused = places_[at].unused;
    if (worker.has_begun()) unused = 0;  // also of one that did its part and was told to end
    if (!worker.stopping && !terminated_) {
        ++counts_.died;
        if (!worker.has_begun()) ++unused;
        if (worker.board->ready()) {  // it was well, whoever killed it
            failures_ = 0;
        } else {
            std::string end = worker.exit_code < 0
                                  ? "signal " + std::to_string(-worker.exit_code)
                                  : "exit code " + std::to_string(worker.exit_code);
            if (!worker.last_words.empty()) end.append(", ").append(worker.last_words);
            ++counts_.start_failures;
            note_failure(end);
        }
    }
    give_up_calls(worker);
    places_[at].worker.reset();
    pump_later();
}

/// What it had begun has failed, the rest goes elsewhere.
void process_pool_core::give_up_calls(pool_worker& worker) noexcept {
    std::exception_ptr died;
    list<pool_link> functions;
    list<pool_link> tasks;
    while (!worker.calls.empty()) {
        auto& call = static_cast<worker_call&>(worker.calls.front());
        const bool begun = call.begun || worker.board->has_begun(call.slot, call.id);
        worker.release(call);
        --counts_.running;
        if (call.ended()) {
            end(call, worker_call::ending::cancelled);
        } else if (begun) {
            if (!died)
                died = std::make_exception_ptr(worker_died(worker.child.name(), worker.child.pid(),
                                                           worker.exit_code, worker.last_words));
            call.failure = died;
            end(call, worker_call::ending::failed);
        } else {
            call.now = worker_call::phase::queued;
            ++counts_.queued;
            (call.is_task() ? tasks : functions).push_back(call);
        }
    }
    functions.splice_back(plain_);
    plain_.splice_back(functions);
    tasks.splice_back(tasks_);
    tasks_.splice_back(tasks);
    if (!broken_.empty()) fail_queued(worker_call::ending::failed);
}

}  // namespace lariat::detail
