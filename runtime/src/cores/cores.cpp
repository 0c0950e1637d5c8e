#include <lariat/cores/cores.hpp>

#include <lariat/base/assert.hpp>
#include <lariat/cores/loop_thread.hpp>
#include <lariat/loop/loop.hpp>
#include <lariat/task/scheduler.hpp>
#include <lariat/task/scope.hpp>
#include <lariat/task/timeout.hpp>
#include <lariat/task/waiter.hpp>

#include <algorithm>
#include <atomic>
#include <deque>
#include <optional>
#include <stdexcept>

#include <sched.h>
#include <unistd.h>

namespace lariat {

namespace detail {

namespace {

/// A thread's place among some cores. A loop that is core 0 of several has one for each.
struct core_place {
    const cores_state* of = nullptr;
    std::size_t number = 0;
    bool callers = false;  ///< whose loop goes on when the cores end
    core_place* outer = nullptr;
};

constinit thread_local core_place* innermost = nullptr;

void take_place(core_place& place) noexcept {
    place.outer = innermost;
    innermost = &place;
}

/// Those that were made first may go first.
void leave_place(core_place& place) noexcept {
    core_place** link = &innermost;
    while (*link != &place) link = &(*link)->outer;
    *link = place.outer;
}

/// The processors that the process may use: its main thread's, as the calling one may be pinned.
std::vector<unsigned> processors() {
    cpu_set_t set;
    std::vector<unsigned> found;
    if (::sched_getaffinity(::getpid(), sizeof set, &set) == 0) {
        for (unsigned each = 0; each < CPU_SETSIZE; ++each) {
            if (CPU_ISSET(each, &set)) found.push_back(each);
        }
    }
    return found;
}

}  // namespace

struct cores_state {
    std::vector<loop_ref> refs;
    std::deque<core_place> places;  ///< stays where it is while it grows: the threads link to it
    std::optional<core_place> callers;
    std::atomic<bool> ending{false};
    std::vector<loop_thread> threads;
};

namespace {

/// Ends with the thread; cut, it ends the thread first.
task<> watch_thread(cores_state& of, const loop_thread& thread) {
    bool cut = false;
    try {
        co_await thread.join();
    } catch (const cancelled&) {
        cut = true;
    }
    if (!cut) co_return;
    // Relaxed: whoever asks was told by one whom the stop had reached, which is posted after.
    of.ending.store(true, std::memory_order_relaxed);
    thread.stop();
    co_await shield(thread.join());
}

}  // namespace

bool ends_with_cores(const cores_state* of, party& who) noexcept {
    const core_place* here = innermost;
    while (here != nullptr && here->of != of) here = here->outer;
    if (here == nullptr || here->callers) return false;
    if (!here->of->ending.load(std::memory_order_relaxed)) return false;
    // All that the outermost task awaits, as its core is about to do.
    scope_core* outermost = &who;
    while (outermost->parent() != this_scheduler->root) outermost = outermost->parent();
    static_cast<party&>(*outermost).cancel();
    return who.cancel_pending;  // not where a shield stands between: there it has to fail
}

}  // namespace detail

cores::cores(const cores_options& options) : state_(std::make_unique<detail::cores_state>()) {
    detail::cores_state& own = *state_;
    const std::vector<unsigned> processors = detail::processors();
    const std::size_t count =
        options.count != 0 ? options.count : std::max<std::size_t>(processors.size(), 1);
    if (options.caller_is_core) own.refs.emplace_back(loop::current());
    own.refs.reserve(count);
    own.threads.reserve(count);
    loop_thread_options each;
    each.run = options.run;
    while (own.refs.size() < count) {
        const std::size_t number = own.refs.size();
        each.name = options.name + '-' + std::to_string(number);
        if (options.pin && !processors.empty()) each.core = processors[number % processors.size()];
        own.refs.push_back(own.threads.emplace_back(each).ref());
        detail::core_place& place = own.places.emplace_back();
        place.of = &own;
        place.number = number;
        // Nobody else knows this loop yet: so the place is taken before all calls.
        const bool told = own.refs.back().post([&place] { detail::take_place(place); });
        detail::require(told, "a core's loop ended before it was used");
    }
    if (!options.caller_is_core) return;
    own.callers.emplace().of = &own;
    own.callers->callers = true;
    detail::take_place(*own.callers);
}

cores::~cores() {
    if (state_->callers) detail::leave_place(*state_->callers);
}

std::size_t cores::core_count() const noexcept { return state_->refs.size(); }

bool cores::on_a_core() const noexcept {
    for (const detail::core_place* each = detail::innermost; each != nullptr; each = each->outer) {
        if (each->of == state_.get()) return true;
    }
    return false;
}

std::size_t cores::this_core() const noexcept {
    const detail::core_place* each = detail::innermost;
    while (each != nullptr && each->of != state_.get()) each = each->outer;
    detail::require(each != nullptr,
                    "this_core() and sharded::local() are asked on one of the cores; another "
                    "thread has no number there");
    return each->number;
}

const loop_ref& cores::ref(std::size_t core) const {
    const std::size_t count = core_count();
    if (core < count) return state_->refs[core];
    throw std::out_of_range("cores: there is no core " + std::to_string(core) + " among " +
                            std::to_string(count) + "; they are numbered from 0");
}

void cores::watch(task_group& group) const {
    for (const loop_thread& each : state_->threads) {
        (void)group.spawn(detail::watch_thread(*state_, each));
    }
}

}  // namespace lariat
