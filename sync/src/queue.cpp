#include <lariat/sync/queue.hpp>

#include <stdexcept>

namespace lariat::detail {

void throw_done_too_often() {
    throw std::logic_error("queue: task_done() was called more often than items were put");
}

}  // namespace lariat::detail
