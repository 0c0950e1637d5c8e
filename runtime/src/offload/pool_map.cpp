#include <lariat/offload/pool_map.hpp>

#include <lariat/base/error.hpp>
#include <lariat/task/error_group.hpp>

#include <algorithm>

namespace lariat::detail {

const job_hooks map_core::hooks_of_map{&map_core::dropped};

map_core::runner::runner(map_core& its_map) noexcept
    : blocking_job(&map_core::run, &hooks_of_map), all(its_map) {}

bool map_core::more() const noexcept {
    return !stopped_.load(std::memory_order_relaxed) &&
           next_.load(std::memory_order_relaxed) < count_;
}

bool map_core::start(std::size_t count, work_listener& when_done) {
    count_ = count;
    if (count == 0) return false;
    listener_ = &when_done;
    const std::size_t wanted =
        std::min(count, most_at_once_ != 0 ? most_at_once_ : pool_->most_threads());
    for (std::size_t i = 0; i < wanted; ++i) runners_.emplace_back(*this);
    live_.store(wanted + 1, std::memory_order_relaxed);  // one is this call's own
    std::size_t submitted = 0;
    try {
        for (; submitted < wanted; ++submitted) pool_->submit(runners_[submitted]);
    } catch (const std::system_error&) {
        if (submitted == 0) throw;
        // The runners there are do all the work, more slowly.
    }
    const std::size_t missing = wanted - submitted + 1;
    return live_.fetch_sub(missing, std::memory_order_acq_rel) != missing;
}

bool map_core::stop() noexcept {
    stopped_.store(true, std::memory_order_relaxed);
    std::size_t taken_back = 0;
    for (runner& each : runners_) {
        if (pool_->withdraw(each)) ++taken_back;
    }
    return taken_back != 0 && live_.fetch_sub(taken_back, std::memory_order_acq_rel) == taken_back;
}

void map_core::run(blocking_job& job) noexcept {
    auto& self = static_cast<runner&>(job);
    map_core& all = self.all;
    while (all.more()) {
        const std::size_t index = all.next_.fetch_add(1, std::memory_order_relaxed);
        if (index >= all.count_) break;
        try {
            all.one_(all, index);
            all.done_.fetch_add(1, std::memory_order_release);
        } catch (...) {
            self.failure = std::current_exception();
            all.stopped_.store(true, std::memory_order_relaxed);
        }
        if (all.more() && all.pool_->give_way(self)) return;
    }
    all.runner_ended();
}

void map_core::dropped(blocking_job& job, bool) noexcept {
    map_core& all = static_cast<runner&>(job).all;
    all.dropped_.store(true, std::memory_order_relaxed);
    all.stopped_.store(true, std::memory_order_relaxed);
    all.runner_ended();
}

void map_core::runner_ended() noexcept {
    work_listener& told = *listener_;  // with the last runner's end the map may go
    // Releases the results to whoever is told, and orders the runners among themselves.
    if (live_.fetch_sub(1, std::memory_order_acq_rel) == 1) told.tell(told);
}

void map_core::check() {
    std::vector<std::exception_ptr> failures;
    for (runner& each : runners_) {
        if (each.failure) failures.push_back(std::move(each.failure));
    }
    if (!failures.empty()) throw_all(std::move(failures));
    if (complete()) return;
    if (dropped_.load(std::memory_order_relaxed))
        throw closed_error("the pool of threads was shut down before all of a map was done");
    throw_cancelled();
}

const wait_kind map_wait::kind_of_wait{"a map on a pool of threads", &map_wait::leave};

void map_wait::leave(waiter& w) noexcept {
    auto& self = static_cast<map_wait&>(w);
    if (!self.map_->stop()) return;  // the last item that runs decides
    self.close_box();
    self.wake(self.map_->complete() ? wake_reason::done : wake_reason::cut);
}

}  // namespace lariat::detail
