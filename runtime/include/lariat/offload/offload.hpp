#pragma once

#include <lariat/offload/thread_pool.hpp>

#include <type_traits>
#include <utility>

namespace lariat {

/// From here to its end, offload() on this thread uses another pool than the shared one.
///
///     lariat::thread_pool slow_disks(2);
///     const lariat::use_pool chosen(slow_disks);
///     lariat::run(main_task());
///
/// Threads      its own: of a loop, the one that runs it. It counts for all tasks there: in a task
///              it may stand around a call of offload(), not around an await
/// Lifetime     the pool outlives it, and the work that was given to it; nested, the innermost one
///              counts
class LARIAT_EXPORT use_pool {
 public:
    explicit use_pool(thread_pool& pool) noexcept;
    use_pool(const use_pool&) = delete;
    use_pool& operator=(const use_pool&) = delete;
    ~use_pool();

 private:
    detail::blocking_pool* before_;
};

/// Says that a cancelled offload() lets go of work that runs.
struct abandon_on_cancel_t {
    explicit abandon_on_cancel_t() = default;
};
inline constexpr abandon_on_cancel_t abandon_on_cancel{};

namespace detail {

/// What offload() uses on this thread.
[[nodiscard]] LARIAT_EXPORT blocking_pool& chosen_pool();

template <class T>
class [[nodiscard("it does nothing until it is awaited: co_await it")]] abandoning_awaiter
    : public abandoning_wait {
 public:
    abandoning_awaiter(blocking_pool& pool, work_ref<T> work) noexcept
        : abandoning_wait(pool, work.release()) {}

    T await_resume() {
        throw_if_cut();
        return take_result(static_cast<work_result<T>&>(core()));
    }
};

}  // namespace detail

/// Calls fn(args...) on a thread of the process's pool (or of the one that use_pool chose), so that
/// this loop goes on meanwhile: for what blocks, or computes for long.
///
///     auto text = co_await lariat::offload(read_slowly, path);
///
/// fn and the arguments are moved into the awaiting frame; references need std::ref. The pool's
/// threads block all signals, and a program started there by fn inherits that: for std::system and
/// the like use run_program.
///
/// Suspends until it has returned · Returns its result · Errors: its exception; std::system_error
/// when there is no thread and none can be made · Cancel: before it began it never runs; once it
/// runs it is awaited, its result is delivered and the cancellation stays pending · Cost: two wakes
/// between threads, no allocation.
template <class Fn, class... Args>
    requires(!std::is_same_v<std::decay_t<Fn>, abandon_on_cancel_t>)
[[nodiscard]] auto offload(Fn&& fn, Args&&... args) {
    return detail::blocking_awaiter<detail::bound<Fn, Args...>>(
        detail::chosen_pool(), std::in_place, std::forward<Fn>(fn), std::forward<Args>(args)...);
}

/// The same for work that may hang for long, and may be left alone then. fn and the arguments lie
/// in a record of their own, which the work keeps until it has ended.
///
/// Cancel: before it began it never runs; while it runs the wait ends at once, with `cancelled`.
/// The work goes on; its result is destroyed on its thread, and its failure goes to the report hook
/// of this loop (printed, once that has closed). It holds its thread until it ends: work that never
/// does takes one for good of the shared pool's few, which subprocess::start, read_file and name
/// resolution use too. The end of the program does not wait for what was
/// abandoned on the shared pool: it may touch nothing that the end of main destroys. A pool of your
/// own waits for it in its destructor · Cost: one record.
template <class Fn, class... Args>
[[nodiscard]] auto offload(abandon_on_cancel_t, Fn&& fn, Args&&... args) {
    using result = detail::bound_result<Fn, Args...>;
    return detail::abandoning_awaiter<result>(
        detail::chosen_pool(),
        detail::make_work(std::forward<Fn>(fn), std::forward<Args>(args)...));
}

}  // namespace lariat
