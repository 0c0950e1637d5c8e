#pragma once

#include <lariat/sync/queue.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>

namespace lariat {

namespace detail {

/// The newest first. A deque, and not a vector: its items never move while they lie there.
template <class T>
class lifo_store : public without_runs {
 public:
    [[nodiscard]] bool empty() const noexcept { return items_.empty(); }
    [[nodiscard]] std::size_t size() const noexcept { return items_.size(); }
    [[nodiscard]] std::uint64_t pushed() const noexcept { return pushed_; }
    template <class U>
    void push(U&& item) {
        items_.emplace_back(std::forward<U>(item));
        ++pushed_;
    }
    template <class Place>
    void pop_into(Place& place) {
        place.emplace(std::move(items_.back()));
        items_.pop_back();
    }

 private:
    std::deque<T> items_;
    std::uint64_t pushed_ = 0;
};

}  // namespace detail

/// A queue that gives the newest item first. A getter that waits gets the next item that is put; a
/// putter that waits puts its item on top when its turn has come.
template <class T>
class lifo_queue : public basic_queue<T, detail::lifo_store<T>> {
 public:
    using basic_queue<T, detail::lifo_store<T>>::basic_queue;
};

}  // namespace lariat
