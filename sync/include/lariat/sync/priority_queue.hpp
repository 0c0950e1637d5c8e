#pragma once

#include <lariat/sync/queue.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <set>
#include <utility>

namespace lariat {

namespace detail {

/// The smallest first, and of equal ones the oldest: a multiset inserts behind its equals. It moves
/// no item to sort it, and a comparison that throws changes nothing; a heap in an array would be
/// faster and promise neither.
template <class T, class Compare>
class priority_store : public without_runs {
 public:
    [[nodiscard]] bool empty() const noexcept { return items_.empty(); }
    [[nodiscard]] std::size_t size() const noexcept { return items_.size(); }
    [[nodiscard]] std::uint64_t pushed() const noexcept { return pushed_; }
    template <class U>
    void push(U&& item) {
        items_.emplace(std::forward<U>(item));
        ++pushed_;
    }
    template <class Place>
    void pop_into(Place& place) {
        // A set's iterators are constant, its items are not; from here on nobody compares this one.
        place.emplace(std::move(const_cast<T&>(*items_.begin())));
        items_.erase(items_.begin());
    }

 private:
    std::multiset<T, Compare> items_;
    std::uint64_t pushed_ = 0;
};

}  // namespace detail

/// A queue that gives the smallest item first, as Python's; of equal ones the oldest. `Compare` is
/// std::less unless said otherwise; with std::greater the largest comes first.
///
/// Order        among what lies in it when get is called; a putter that waits for room has its item
///              compared when its turn has come
/// Allocation   one node an item
template <class T, class Compare = std::less<T>>
class priority_queue : public basic_queue<T, detail::priority_store<T, Compare>> {
 public:
    using basic_queue<T, detail::priority_store<T, Compare>>::basic_queue;
};

}  // namespace lariat
