#pragma once

#include <lariat/offload/blocking.hpp>
#include <lariat/offload/pool_future.hpp>
#include <lariat/offload/pool_map.hpp>
#include <lariat/offload/pool_options.hpp>
#include <lariat/task/task.hpp>

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <ranges>
#include <type_traits>
#include <utility>

namespace lariat {

namespace detail {

template <class T>
class [[nodiscard("nothing is submitted until it is awaited: co_await it")]] submit_awaiter
    : public submit_wait {
 public:
    submit_awaiter(blocking_pool& pool, work_ref<T> work) noexcept
        : submit_wait(pool, *work), work_(std::move(work)) {}

    pool_future<T> await_resume() {
        throw_if_cut();
        return pool_future<T>(std::move(work_));
    }

 private:
    work_ref<T> work_;
};

}  // namespace detail

/// Threads for functions that block or compute.
///
///     lariat::thread_pool pool(4);
///     std::string page = co_await pool.run(fetch, url);             // on a loop
///     auto sizes = co_await pool.map(files, file_size);
///     auto later = pool.submit_blocking(fetch, url);                // on a plain thread
///
/// A function and its arguments are moved to where they are kept until it has run; what is to be
/// referred to says so with std::ref.
///
/// Order        work begins in the order of submission, also of those that stand in line
/// Threads      any thread and any loop, several at once. Its own run where the process's main
///              thread may, also those that a pinned loop_thread's work called for
/// Lifetime     outlives the tasks that wait for its work; its end finishes all that was submitted,
///              and waits for it: it blocks a loop's thread, so co_await shutdown() there first. A
///              forked child can only destroy it; the shared one serves there too, with new threads
/// Allocation   run: none. submit, map: one record, or one for each runner
/// Limits       options.most_threads work at once. Of what no thread is free for,
///              options.most_queued lie in the queue. Beyond that run and submit wait in line, the
///              first come first, and try_submit says so
class LARIAT_EXPORT thread_pool {
 public:
    explicit thread_pool(const thread_pool_options& options = thread_pool_options());
    explicit thread_pool(std::size_t most_threads);
    thread_pool(const thread_pool&) = delete;
    thread_pool& operator=(const thread_pool&) = delete;
    ~thread_pool();

    /// The process's own, which offload uses: made when it is first asked for. At exit its idle
    /// threads are joined; work that still runs then is not waited for.
    [[nodiscard]] static thread_pool& shared();
    /// How that is made. Errors: std::logic_error once it is.
    static void configure_shared(const thread_pool_options& options);

    /// Calls fn(args...) on a thread of the pool.
    ///
    /// Suspends until it has returned · Returns its result · Errors: its exception; closed_error
    /// after or by a shutdown; std::system_error when there is no thread and none can be made ·
    /// Cancel: before it began it never runs; once it runs it is awaited, its result is delivered
    /// and the cancellation stays pending · Cost: two wakes between threads.
    template <class Fn, class... Args>
    [[nodiscard]] auto run(Fn&& fn, Args&&... args) {
        using call = detail::bound<Fn, Args...>;
        return detail::blocking_awaiter<call>(*pool_, std::in_place, std::forward<Fn>(fn),
                                              std::forward<Args>(args)...);
    }

    /// Hands fn(args...) over.
    ///
    /// Suspends while the queue is full · Returns a pool_future · Errors: closed_error;
    /// std::system_error as above · Cancel: it was not submitted.
    template <class Fn, class... Args>
    [[nodiscard]] auto submit(Fn&& fn, Args&&... args) {
        using result = detail::bound_result<Fn, Args...>;
        return detail::submit_awaiter<result>(
            *pool_, detail::make_work(std::forward<Fn>(fn), std::forward<Args>(args)...));
    }
    /// The same on a plain thread, which waits while the queue is full. Pre: no loop runs on it.
    template <class Fn, class... Args>
    auto submit_blocking(Fn&& fn, Args&&... args) {
        auto work = detail::make_work(std::forward<Fn>(fn), std::forward<Args>(args)...);
        submit_and_block(*work);
        return pool_future(std::move(work));
    }
    /// The same on any thread, without waiting: empty if the queue is full.
    template <class Fn, class... Args>
    [[nodiscard]] auto try_submit(Fn&& fn, Args&&... args) {
        auto work = detail::make_work(std::forward<Fn>(fn), std::forward<Args>(args)...);
        std::optional<pool_future<detail::bound_result<Fn, Args...>>> given;
        if (work->try_submit_to(*pool_)) given.emplace(std::move(work));
        return given;
    }

    /// Calls fn(item) for every item of a range, on several threads at once (fn is shared by them).
    ///
    /// Suspends until all are done · Returns the results as a vector, in the order of the items
    /// (nothing if fn gives none) · Errors: what fn threw, several as an error_group; items that
    /// had not begun by then never do; closed_error if a shutdown took them · Cancel: items that
    /// have not begun never do, those that run are awaited; results are lost unless all were done ·
    /// Limits: `most_at_once` items at a time, 0: as many as the pool has threads · Borrows a range
    /// given as an lvalue; one without random access is copied first.
    template <std::ranges::input_range Range, class Fn>
    [[nodiscard]] auto map(Range&& items, Fn fn, std::size_t most_at_once = 0) {
        auto view = detail::indexable(std::forward<Range>(items));
        return detail::map_awaiter<decltype(view), Fn>(*pool_, most_at_once, std::move(view),
                                                       std::move(fn));
    }
    /// The same on a plain thread, which it blocks. Pre: no loop runs on it.
    template <std::ranges::input_range Range, class Fn>
    auto map_blocking(Range&& items, Fn fn, std::size_t most_at_once = 0) {
        return detail::map_on_thread(*pool_, most_at_once,
                                     detail::indexable(std::forward<Range>(items)), std::move(fn));
    }

    /// Takes no more work, from the moment it is awaited on.
    ///
    /// Suspends until the last thread has ended · Cancel: stops waiting; the pool stays shut down ·
    /// Pre: not the shared pool. It may be called again, also to cancel what an earlier call left
    /// to be finished.
    [[nodiscard]] task<> shutdown(pool_shutdown how = pool_shutdown::finish);
    /// The same on a plain thread, which it blocks. Pre: not on a thread of this pool.
    void shutdown_blocking(pool_shutdown how = pool_shutdown::finish);

    [[nodiscard]] thread_pool_stats stats() const { return pool_->stats(); }

    /// Library use.
    [[nodiscard]] detail::blocking_pool& engine() const noexcept { return *pool_; }

 private:
    struct shared_tag {};
    explicit thread_pool(shared_tag);
    void submit_and_block(detail::work_core& work);

    std::unique_ptr<detail::blocking_pool> own_;
    detail::blocking_pool* pool_;
};

}  // namespace lariat
