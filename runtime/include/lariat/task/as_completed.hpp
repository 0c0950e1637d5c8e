#pragma once

#include <lariat/base/assert.hpp>
#include <lariat/task/outcome.hpp>
#include <lariat/task/spawn.hpp>

#include <cstddef>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace lariat {

/// One of the tasks given to as_completed, ended: which one it was, and how it ended.
template <class T>
struct completed {
    std::size_t index;  ///< in the vector that was given
    outcome<T> result;

    /// Its value, once. Errors: its exception; task_cancelled.
    T value() { return std::move(result).value(); }
};

namespace detail {

/// The tasks of one as_completed, without their results' type.
///
/// Invariant    a task is in flight (this is its joiner), or on the line of those that ended, or
///              was given out
struct LARIAT_EXPORT completion_line {
    struct item : list_link, party_joiner {
        item() noexcept : party_joiner(&completion_line::item_ended) {}
        completion_line* line = nullptr;
        party* running = nullptr;  ///< null once it has ended
    };

    void add(item& which, party& p) noexcept;
    /// Stops listening to a task and cancels it. Nothing if it has ended.
    static void abandon(item& which) noexcept;

    list<item> ended;
    std::size_t left = 0;        ///< not given out yet
    waiter* consumer = nullptr;  ///< parked in next()
    bool busy = false;           ///< a next() is under way

 private:
    static void item_ended(party_joiner& which) noexcept;
};

/// Waits until one of them has ended.
class LARIAT_EXPORT completion_wait : public wait_point, public single_step {
 public:
    explicit completion_wait(completion_line& line) noexcept
        : wait_point(kind_of_wait), line_(&line) {}

    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
        require(!line_->busy, "one task at a time may await next() of an as_completed");
        party& p = party_of(frame);
        line_->busy = true;
        if (!line_->ended.empty() || line_->left == 0) return pass(p, frame);
        line_->consumer = this;
        park(p, frame);
        return true;
    }

 protected:
    /// Null after the last one. Errors: `cancelled`.
    completion_line::item* take();

 private:
    static void leave(waiter& w) noexcept;
    static const wait_kind kind_of_wait;

    completion_line* line_;
};

}  // namespace detail

/// Tasks that run at once and are looked at one by one, first come first served: see
/// as_completed().
///
///     auto pages = lariat::as_completed(std::move(fetches));
///     while (auto page = co_await pages.next()) show(page->index, page->value());
///
/// Order        in which they end
/// Threads      one loop
/// Lifetime     owns the tasks' results. Destroyed early, it cancels those that still run; they end
///              in the root scope, not in its owner's
/// Errors       a failure is thrown by that item's value(). One that was never given out goes to
///              the report hook when this is destroyed, and so ends the run: none is dropped.
///              An item that was given out and not looked at is its receiver's decision
/// Allocation   one block for all, and a small record a task, as spawn's
template <class T>
class [[nodiscard]] completions {
    struct entry : detail::completion_line::item {
        join_handle<T> handle;
    };
    struct state : detail::completion_line {
        explicit state(std::size_t count) : items(count) {}
        ~state() {
            detail::require(!busy,
                            "an as_completed must not be destroyed while its next() is under way");
            for (entry& each : items) abandon(each);
        }
        std::vector<entry> items;
    };
    class next_awaiter;

 public:
    explicit completions(std::vector<task<T>> tasks)
        : state_(std::make_unique<state>(tasks.size())) {
        group_core& root = detail::root_group("lariat::as_completed");
        for (std::size_t i = 0; i < tasks.size(); ++i) {
            entry& each = state_->items[i];
            each.handle = detail::start_in(root, std::move(tasks[i]));
            state_->add(each, each.handle.who());
        }
    }

    /// Suspends until another one has ended · Returns std::optional<completed<T>>, empty after the
    /// last · Cancel: nothing is lost, the tasks go on · Overlap: stops the program.
    [[nodiscard("co_await it")]] auto next() noexcept { return next_awaiter(*state_); }
    /// How many were not given out yet.
    [[nodiscard]] std::size_t size() const noexcept { return state_->left; }

 private:
    std::unique_ptr<state> state_;
};

template <class T>
class [[nodiscard("next() does nothing until it is awaited")]] completions<T>::next_awaiter
    : public detail::completion_wait {
 public:
    explicit next_awaiter(state& tasks) noexcept
        : completion_wait(tasks), first_(tasks.items.data()) {}

    std::optional<completed<T>> await_resume() {
        auto* ended = static_cast<entry*>(take());
        if (ended == nullptr) return std::nullopt;
        return completed<T>{static_cast<std::size_t>(ended - first_), ended->handle.take_outcome()};
    }

 private:
    entry* first_;
};

/// Starts all of them, beside the running task and owned by the scope of `run`, and gives each
/// one's result as soon as it has ended.
///
/// Returns completions<T>. Where all results are wanted together, and failures should cancel the
/// rest, gather is the better verb; for the first one alone, race.
template <class T>
completions<T> as_completed(std::vector<task<T>> tasks) {
    return completions<T>(std::move(tasks));
}

}  // namespace lariat
