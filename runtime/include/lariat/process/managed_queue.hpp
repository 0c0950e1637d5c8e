#pragma once

#include <lariat/process/manager_call.hpp>
#include <lariat/sync/queue.hpp>
#include <lariat/task/task.hpp>

#include <concepts>
#include <cstddef>
#include <deque>
#include <optional>
#include <tuple>
#include <utility>

namespace lariat {

namespace detail {

template <class T>
class served_queue {
 public:
    explicit served_queue(std::size_t max) noexcept : queue_(max) {}

    task<> put(T item) {
        auto putting = queue_.put(std::move(item));
        co_await std::move(putting);
    }
    task<std::optional<T>> get() {
        std::optional<T> item = take_returned();
        if (!item) {
            const getter here(getting_);
            auto taking = queue_.get();
            item = co_await std::move(taking);
        }
        co_return item;
    }
    void put_nowait(T item) { queue_.put_nowait(std::move(item)); }
    [[nodiscard]] T get_nowait() {
        std::optional<T> item = take_returned();
        return item ? *std::move(item) : queue_.get_nowait();
    }
    /// What somebody had been given who was not there any more: it is next.
    void put_back(std::optional<T> item) {
        if (!item) return;
        if (getting_ != 0 && queue_.try_put(*std::move(item))) {
            queue_.task_done();  // it counts as put, and unfinished, already
        } else {
            returned_.push_front(*std::move(item));
        }
    }
    void put_back_item(T item) { put_back(std::optional<T>(std::move(item))); }
    void task_done() { queue_.task_done(); }
    task<> join() {
        auto joining = queue_.join();
        co_await std::move(joining);
    }
    void close() noexcept { queue_.close(); }
    [[nodiscard]] std::size_t size() const noexcept { return queue_.size() + returned_.size(); }

 private:
    class getter {
     public:
        explicit getter(std::size_t& count) noexcept : count_(count) { ++count_; }
        getter(const getter&) = delete;
        getter& operator=(const getter&) = delete;
        ~getter() { --count_; }

     private:
        std::size_t& count_;
    };

    std::optional<T> take_returned() {
        std::optional<T> item;
        if (!returned_.empty()) {
            item.emplace(std::move(returned_.front()));
            returned_.pop_front();
        }
        return item;
    }

    queue<T> queue_;
    std::deque<T> returned_;  // before all that is in queue_; of closed ones, too
    std::size_t getting_ = 0;
};

}  // namespace detail

/// A queue that lives in a manager: of so many items, or (0) of any number.
///
///     auto jobs = co_await m.make<lariat::managed_queue<job>>(10);
///     co_await jobs.put(first);                       // waits while ten lie there
///     while (auto next = co_await jobs.get()) { ... } // ends after jobs.close()
///
/// Order        first come, first served, over all processes; one to whom an item was given that
///              did not wait any more gives it back, to the front
/// Limits       a process that is killed loses at most the items on their way to it
///
/// Cancel: nothing was put, nothing taken; but see proxy::call for a manager that hangs. Errors,
/// Threads, Lifetime: those of proxy.
template <transferable T>
class managed_queue : public detail::proxy_of<managed_queue<T>, detail::served_queue<T>> {
    using body_type = detail::served_queue<T>;

 public:
    using detail::proxy_of<managed_queue, body_type>::proxy_of;

    /// Suspends while it is full · Errors: closed_error.
    [[nodiscard]] auto put(T item) const {
        return this->template ask<&body_type::put>(std::move(item));
    }
    /// Suspends while it is empty · Returns an optional, empty when it is closed and drained.
    [[nodiscard]] auto get() const {
        return this->template ask_undoable<&body_type::get>(
            this->template undo_by<&body_type::put_back>());
    }
    /// Errors: queue_full; closed_error.
    [[nodiscard]] auto put_nowait(T item) const {
        return this->template ask<&body_type::put_nowait>(std::move(item));
    }
    /// Errors: queue_empty; closed_error.
    [[nodiscard]] auto get_nowait() const {
        return this->template ask_undoable<&body_type::get_nowait>(
            this->template undo_by<&body_type::put_back_item>());
    }
    /// Says that one item is done with. Errors: std::logic_error if it is said too often.
    [[nodiscard]] auto task_done() const { return this->template ask<&body_type::task_done>(); }
    /// Suspends until every item that was put is done with.
    [[nodiscard]] auto join() const { return this->template ask<&body_type::join>(); }
    /// No more puts; what is there can be taken.
    [[nodiscard]] auto close() const { return this->template ask<&body_type::close>(); }
    [[nodiscard]] auto size() const { return this->template ask<&body_type::size>(); }

    /// Library use.
    [[nodiscard]] static std::tuple<std::size_t> initial() noexcept { return {0}; }
    [[nodiscard]] static std::tuple<std::size_t> initial(std::integral auto max) {
        return {detail::as_count(max)};
    }
};

}  // namespace lariat
