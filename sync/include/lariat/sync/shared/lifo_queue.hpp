#pragma once

#include <lariat/sync/lifo_queue.hpp>
#include <lariat/sync/shared/queue.hpp>

namespace lariat::shared {

/// A shared::queue that gives the newest item first.
///
///     lariat::shared::lifo_queue<connection> idle;
///     co_await idle.put(std::move(used));               // in a task of any loop
///     auto warm = idle.get_blocking();                  // in a thread: the one used last
///
/// Order        among what lies in it at the moment of the get. A getter that waits gets the next
///              item that is put; a putter that waits puts its item on top when its turn has come
/// Allocation   by the constructor (why it may throw) and, for as many items as make 512 bytes, by
///              put; none for a wait
template <class T>
class lifo_queue : public basic_queue<T, detail::lifo_store<T>> {
 public:
    using basic_queue<T, detail::lifo_store<T>>::basic_queue;
};

}  // namespace lariat::shared
