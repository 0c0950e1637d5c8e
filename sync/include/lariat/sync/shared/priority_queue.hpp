#pragma once

#include <lariat/sync/priority_queue.hpp>
#include <lariat/sync/shared/queue.hpp>

#include <functional>

namespace lariat::shared {

/// A shared::queue that gives the smallest item first; of equal ones the oldest. `Compare` is
/// std::less unless said otherwise; with std::greater the largest comes first.
///
///     lariat::shared::priority_queue<job, by_deadline> jobs(100);
///     co_await jobs.put(next);                          // in a task of any loop
///     while (auto job = jobs.get_blocking()) { ... }    // in a thread: the most urgent
///
/// Order        among what lies in it at the moment of the get. A getter that waits gets the next
///              item that is put, whatever its rank; a putter that waits has its item compared when
///              its turn has come
/// Allocation   one node an item, by put; none for a wait
/// Limits       as shared::queue's. With n items in it a put compares about log2(n) times, and so
///              does a get that lets a waiting putter in, under the lock: a comparison is short,
///              does not come back to the queue, and may not throw (the put whose item was compared
///              ends with what it threw, and that item is lost)
template <class T, class Compare = std::less<T>>
class priority_queue : public basic_queue<T, detail::priority_store<T, Compare>> {
    // No static_assert asks the comparison for noexcept: few have it, std::less<T> neither.
 public:
    using basic_queue<T, detail::priority_store<T, Compare>>::basic_queue;
};

}  // namespace lariat::shared
