#pragma once

#include <lariat/process/family.hpp>
#include <lariat/process/pool_call.hpp>
#include <lariat/process/pool_imap.hpp>
#include <lariat/process/pool_map.hpp>
#include <lariat/process/pool_options.hpp>
#include <lariat/process/worker_died.hpp>
#include <lariat/task/task.hpp>

#include <cstddef>
#include <memory>
#include <ranges>
#include <type_traits>
#include <utility>

namespace lariat {

/// Processes that call functions: for what computes, or may crash.
///
///     lariat::process_pool pool(4);
///     long squared = co_await pool.run(square, 12);
///     std::vector<long> squares = co_await pool.map(square, numbers);
///     auto later = pool.submit(render, scene);                 // co_await later, when it suits
///     co_await pool.close();
///
/// A worker calls one function at a time, as a thread of its own would: it may block. Tasks run on
/// the worker's loop, any number at once; while it calls a function they wait. What can be called,
/// and what can be an argument or result: see process::start and transferable. Ctrl-C is for the
/// parent: workers do not see it.
///
/// A worker that dies fails the calls it had begun (worker_died), and no other: what had not begun
/// goes to the others, and a new worker takes its place. Results that it gave before are kept.
///
/// Order        functions begin in the order of submission, tasks as well; a worker without work
///              takes from one that has more than it can begin, or has begun nothing for 100 ms
/// Threads      the loop that made it
/// Lifetime     made where a loop runs. Its end, as that of the run, is terminate(); so co_await
///              close() before. Workers are daemons: they go with this process, however that goes
/// Allocation   a call: one record and its parcel, which is kept until the call has ended; where it
///              has descriptors, until it has begun: a pipe's end in it closes with the call's own
/// Limits       4,096 calls at a time in a worker, more wait in the pool; 200 descriptors a call
class LARIAT_EXPORT process_pool {
 public:
    /// Starts the workers, some 300 us each. Errors: those of process::start.
    explicit process_pool(const process_pool_options& options = process_pool_options());
    explicit process_pool(std::size_t count) : process_pool(process_pool_options(count)) {}
    process_pool(const process_pool&) = delete;
    process_pool& operator=(const process_pool&) = delete;
    ~process_pool();

    /// Calls fn(args...) in a worker; lvalues are copied, rvalues moved.
    ///
    /// Suspends until it has ended · Returns its result · Errors: its exception, as process_status
    /// gives it; worker_died; pool_start_error; closed_error after close() or by terminate();
    /// limit_error · Cancel: what has not begun never will; a task that runs is cancelled in its
    /// worker; a function goes on, unless options.kill_on_cancel, and its result is thrown away ·
    /// Cost: two wakes between processes.
    template <class Fn, class... Args>
    [[nodiscard]] auto run(Fn&& fn, Args&&... args) {
        using function = std::decay_t<Fn>;
        if constexpr (detail::can_be_sent<function, detail::call_result::kept>()) {
            using result = typename detail::call_signature<function>::result;
            return detail::pool_run_awaiter<result>(
                core_, detail::pack_call(std::forward<Fn>(fn), std::forward<Args>(args)...));
        }
    }

    /// Hands fn(args...) over · Returns a pool_call · Errors: closed_error; pool_start_error;
    /// limit_error.
    template <class Fn, class... Args>
    [[nodiscard]] auto submit(Fn&& fn, Args&&... args) {
        using function = std::decay_t<Fn>;
        if constexpr (detail::can_be_sent<function, detail::call_result::kept>()) {
            using result = typename detail::call_signature<function>::result;
            detail::call_ref call =
                submit_packed(detail::pack_call(std::forward<Fn>(fn), std::forward<Args>(args)...));
            return pool_call<result>(std::move(call));
        }
    }

    /// Calls fn(item) for every item of a range; a number as the last argument is how many go in
    /// one call. Tasks run all at once; of very many (4,096 calls a worker) or large ones (16 MiB
    /// of arguments in all) the next begin as others end.
    ///
    /// Suspends until all have ended · Returns the results as a vector, in the order of the items
    /// (nothing if fn gives none) · Errors: those of run, of the first call to fail; what has not
    /// begun then never will · Cancel: as run · Borrows a range given as an lvalue; one without
    /// random access is copied first.
    template <class Fn, std::ranges::input_range Range>
    [[nodiscard]] auto map(Fn fn, Range&& items, const map_options& options = map_options()) {
        return map_items<detail::item_kind::argument>(std::move(fn), std::forward<Range>(items),
                                                      options);
    }
    /// The same for fn(parts...) of every tuple.
    template <class Fn, std::ranges::input_range Range>
    [[nodiscard]] auto starmap(Fn fn, Range&& items, const map_options& options = map_options()) {
        return map_items<detail::item_kind::tuple>(std::move(fn), std::forward<Range>(items),
                                                   options);
    }

    /// As map, but the results come one by one, in order, and the range is read as they are taken:
    /// it may be endless. `options.ahead` calls are submitted beyond what was taken.
    ///
    /// A generator that is destroyed before its end takes back what is under way. Errors: a call's,
    /// in its turn, and that is the end. Where no more can be submitted (the pool was closed or
    /// terminated, or the range throws) the results of what was submitted come first.
    template <class Fn, std::ranges::input_range Range>
    [[nodiscard]] auto imap(Fn fn, Range&& items, const map_options& options = map_options()) {
        return generate(std::move(fn), std::forward<Range>(items), options,
                        detail::line_order::as_submitted);
    }
    /// The same, in the order in which calls end.
    template <class Fn, std::ranges::input_range Range>
    [[nodiscard]] auto imap_unordered(Fn fn, Range&& items,
                                      const map_options& options = map_options()) {
        return generate(std::move(fn), std::forward<Range>(items), options,
                        detail::line_order::as_ended);
    }

    /// Takes no more calls, from the moment it is awaited on.
    ///
    /// Suspends until all that was submitted has ended (also what was cancelled and runs on; a map
    /// that has begun is submitted whole, an imap as far as it was read), and the workers have.
    /// Where no worker comes up the calls end with pool_start_error, and so does the wait, without
    /// it · Cancel: stops waiting; the pool stays closed.
    [[nodiscard]] task<> close();
    /// Ends all calls with closed_error, and the workers: SIGTERM, and SIGKILL after the grace
    /// period. Does not wait: join() does.
    void terminate() noexcept;
    /// Suspends until the last worker has ended · Cancel: stops waiting · Pre: closed or
    /// terminated.
    [[nodiscard]] task<> join();

    [[nodiscard]] process_pool_stats stats() const noexcept;

 private:
    [[nodiscard]] detail::call_ref submit_packed(detail::packed_call&& what);

    template <detail::item_kind Kind, class Fn, class Range>
    [[nodiscard]] auto map_items(Fn fn, Range&& items, const map_options& options) {
        constexpr bool moves = !std::is_lvalue_reference_v<Range> && !std::ranges::view<Range>;
        using item = std::ranges::range_value_t<Range>;
        if constexpr (detail::takes_item<Fn, Kind, item>()) {
            auto view = detail::indexable(std::forward<Range>(items));
            using work = detail::map_of_calls<Fn, Kind, moves, decltype(view)>;
            return detail::remote_map_awaiter<work>(std::in_place, core_, std::move(fn),
                                                    std::move(view), options);
        }
    }
    template <class Fn, class Range>
    [[nodiscard]] auto generate(Fn fn, Range&& items, const map_options& options,
                                detail::line_order order) {
        constexpr bool moves = !std::is_lvalue_reference_v<Range> && !std::ranges::view<Range>;
        using item = std::ranges::range_value_t<Range>;
        if constexpr (detail::takes_item<Fn, detail::item_kind::argument, item>()) {
            using result = typename detail::call_signature<Fn>::result;
            static_assert(!std::is_void_v<result>,
                          "imap gives results: use map where there are none");
            auto view = std::views::all(std::forward<Range>(items));
            return detail::generate_results<Fn, moves, decltype(view)>(
                core_, std::move(fn), std::move(view), order, options);
        }
    }

    std::shared_ptr<detail::process_pool_core> core_;
};

}  // namespace lariat
