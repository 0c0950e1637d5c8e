#include <lariat/sync/bounded_semaphore.hpp>

#include <string>

namespace lariat {

released_too_often::released_too_often(std::size_t released, std::size_t taken, std::size_t limit)
    : std::logic_error("a bounded_semaphore of " + std::to_string(limit) + " was released by " +
                       std::to_string(released) + " while " + std::to_string(taken) +
                       " of its permits were taken") {}
// Out of line: the type's identity then lives in the library, once, also when it is a shared one.
released_too_often::~released_too_often() = default;

void bounded_semaphore::refuse(std::size_t count) const {
    throw released_too_often(count, taken(), limit_);
}

}  // namespace lariat
