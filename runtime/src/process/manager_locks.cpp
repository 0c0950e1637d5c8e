// Locks in a manager, and who holds them.

#include <lariat/process/managed_bounded_semaphore.hpp>
#include <lariat/process/managed_condition.hpp>
#include <lariat/process/managed_mutex.hpp>
#include <lariat/process/managed_semaphore.hpp>

#include "process/manager_link.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <typeinfo>
#include <utility>

namespace lariat::detail {

void served_mutex::hand_to(manager_caller who, guard<mutex>&& held) noexcept {
    held_ = std::move(held);
    holder_ = who.connection;
    ++hold_;
}

task<> served_mutex::lock(manager_caller who) {
    auto locking = mutex_.lock();
    guard<mutex> held = co_await std::move(locking);
    hand_to(who, std::move(held));
}

bool served_mutex::try_lock(manager_caller who) {
    guard<mutex> held = mutex_.try_lock();
    if (!held) return false;
    hand_to(who, std::move(held));
    return true;
}

void served_mutex::require_holder(manager_caller who) const {
    if (!held_ || holder_ != who.connection)
        throw std::logic_error("managed_mutex: given up by one who does not hold it");
}

void served_mutex::unlock(manager_caller who) {
    require_holder(who);
    holder_ = 0;
    held_.unlock();
}

void served_mutex::unlock_if(manager_caller who, bool taken) {
    if (taken) unlock(who);
}

guard<mutex> served_mutex::lend(manager_caller who) {
    require_holder(who);
    holder_ = 0;
    return std::move(held_);
}

void served_mutex::left(std::uint64_t connection) {
    if (!held_ || holder_ != connection) return;
    holder_ = 0;
    abandoned_ = hold_;
    held_.unlock();
}

// Semaphores

template <class Permits>
task<> served_permits<Permits>::acquire(manager_caller who) {
    auto acquiring = permits_.acquire();
    co_await std::move(acquiring);
    ++taken_[who.connection];
}

template <class Permits>
bool served_permits<Permits>::try_acquire(manager_caller who) {
    const bool taken = permits_.try_acquire();
    if (taken) ++taken_[who.connection];
    return taken;
}

template <class Permits>
void served_permits<Permits>::release(manager_caller who) {
    permits_.release();
    const auto found = taken_.find(who.connection);
    if (found == taken_.end()) {
        if constexpr (bounded) ++returned_;
    } else if (--found->second == 0) {
        taken_.erase(found);
    }
}

template <class Permits>
std::optional<std::size_t> served_permits<Permits>::release_within(manager_caller who) {
    if constexpr (bounded)
        if (available() == limit_) return limit_;
    release(who);
    return {};
}

template <class Permits>
void served_permits<Permits>::release_if(manager_caller who, bool taken) {
    if (taken) release(who);
}

template <class Permits>
void served_permits<Permits>::left(std::uint64_t connection) {
    const auto found = taken_.find(connection);
    if (found == taken_.end()) return;
    const std::size_t count = found->second;
    const std::size_t returned = std::min(count, returned_);
    taken_.erase(found);
    returned_ -= returned;
    permits_.release(count - returned);
}

template class served_permits<semaphore>;
template class served_permits<bounded_semaphore>;

void managed_release::await_resume() {
    parcel_reader from = finish();
    const auto bound = read_value<std::optional<std::size_t>>(from);
    from.finish();
    if (bound) throw released_too_often(1, 0, *bound);
}

// Conditions

task<> served_condition::wait(manager_caller who, std::uint64_t mutex_id) {
    auto lock =
        std::static_pointer_cast<served_mutex>(object_beside(who, mutex_id, typeid(served_mutex)));
    if (lock_ != nullptr && lock_ != lock)
        throw std::invalid_argument(
            "managed_condition: it goes with one mutex, the one of the first wait");
    struct lent {
        served_mutex& of;
        manager_caller to;
        guard<mutex> held;
        ~lent() { of.hand_to(to, std::move(held)); }  // which holds it again, cut or not
    };
    {
        lent lock_of_caller{*lock, who, lock->lend(who)};
        lock_ = lock;
        auto waiting = line_.wait(lock_of_caller.held);
        co_await std::move(waiting);
    }
    given_ = lock->hold();
}

void served_condition::abandon(manager_caller who, std::uint64_t mutex_id) {
    const auto lock =
        std::static_pointer_cast<served_mutex>(object_beside(who, mutex_id, typeid(served_mutex)));
    const bool notified = given_ != 0 && given_ == lock->hold();
    lock->unlock(who);
    if (!notified) return;
    given_ = 0;
    line_.notify();
}

void served_condition::left(std::uint64_t connection) {
    if (lock_ == nullptr) return;
    lock_->left(connection);  // what a wait has taken again after the connection's end, too
    if (given_ == 0 || lock_->abandoned() != given_) return;
    given_ = 0;
    line_.notify();
}

managed_condition_wait::managed_condition_wait(const managed_ref& condition, managed_guard& held)
    : manager_wait(condition, pack(*condition, held), typeid(method), undo(held)), held_(&held) {}

manager_undo managed_condition_wait::undo(const managed_guard& held) noexcept {
    manager_undo giving_up;
    giving_up.key = call_key<method_call<served_condition, &served_condition::abandon>>;
    giving_up.holds = true;
    giving_up.argument = held.held_ != nullptr ? held.held_->id() : 0;
    return giving_up;
}

parcel managed_condition_wait::pack(const managed_object& condition, const managed_guard& held) {
    require(held.held_ != nullptr,
            "a managed_condition is waited for under a lock: this guard holds none");
    if (&held.held_->link() != &condition.link())
        throw std::invalid_argument(
            "managed_condition: its mutex must live in the same manager, and be reached by the "
            "same connection");
    return pack_method<served_condition, &served_condition::wait>(condition, held.held_->id());
}

void managed_condition_wait::await_resume() {
    if (given_up()) {
        held_->held_ = nullptr;
        const manager_identity& silent = object()->link().identity;
        throw manager_silent(silent.name, silent.pid);
    }
    if (connection_lost()) held_->held_ = nullptr;  // with it has gone what it held
    parcel_reader from = finish();
    from.finish();
}

}  // namespace lariat::detail
