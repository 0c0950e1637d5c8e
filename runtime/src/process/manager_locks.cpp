// Locks in a manager, and who holds them.

#include <lariat/process/managed_mutex.hpp>
#include <lariat/process/managed_semaphore.hpp>

#include <stdexcept>
#include <utility>

namespace lariat::detail {

task<> served_mutex::lock(manager_caller who) {
    auto locking = mutex_.lock();
    guard<mutex> held = co_await std::move(locking);
    held_ = std::move(held);
    holder_ = who.connection;
}

bool served_mutex::try_lock(manager_caller who) {
    guard<mutex> held = mutex_.try_lock();
    if (!held) return false;
    held_ = std::move(held);
    holder_ = who.connection;
    return true;
}

void served_mutex::unlock(manager_caller who) {
    if (!held_ || holder_ != who.connection)
        throw std::logic_error("managed_mutex: unlocked by one who does not hold it");
    holder_ = 0;
    held_.unlock();
}

void served_mutex::unlock_if(manager_caller who, bool taken) {
    if (taken) unlock(who);
}

void served_mutex::left(std::uint64_t connection) {
    if (!held_ || holder_ != connection) return;
    holder_ = 0;
    held_.unlock();
}

task<> served_semaphore::acquire(manager_caller who) {
    auto acquiring = permits_.acquire();
    co_await std::move(acquiring);
    ++taken_[who.connection];
}

bool served_semaphore::try_acquire(manager_caller who) {
    const bool taken = permits_.try_acquire();
    if (taken) ++taken_[who.connection];
    return taken;
}

void served_semaphore::release(manager_caller who) {
    permits_.release();
    const auto found = taken_.find(who.connection);
    if (found != taken_.end() && --found->second == 0) taken_.erase(found);
}

void served_semaphore::release_if(manager_caller who, bool taken) {
    if (taken) release(who);
}

void served_semaphore::left(std::uint64_t connection) {
    const auto found = taken_.find(connection);
    if (found == taken_.end()) return;
    const std::size_t count = found->second;
    taken_.erase(found);
    permits_.release(count);
}

}  // namespace lariat::detail
