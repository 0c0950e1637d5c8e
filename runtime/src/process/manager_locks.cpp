// Locks in a manager, and who holds them.

#include <lariat/process/managed_bounded_semaphore.hpp>
#include <lariat/process/managed_condition.hpp>
#include <lariat/process/managed_mutex.hpp>
#include <lariat/process/managed_recursive_mutex.hpp>
#include <lariat/process/managed_semaphore.hpp>

#include "process/manager_link.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <typeinfo>
#include <utility>

namespace lariat {

namespace detail {

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
    if (!held_by(who))
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

// Recursive mutexes

bool served_recursive_mutex::again(manager_caller who, std::uint64_t task_name) noexcept {
    if (!held_by(who, task_name)) return false;
    ++depth_;
    return true;
}

// A task that is awaited goes on in its awaiter in the same leg, so nobody sees the lock handed
// over and its depth not yet set.
task<std::uint64_t> served_recursive_mutex::lock(manager_caller who, std::uint64_t task_name) {
    if (!again(who, task_name)) {
        auto locking = lock_.lock(who);
        co_await std::move(locking);
        task_ = task_name;
        depth_ = 1;
    }
    co_return task_name;
}

std::uint64_t served_recursive_mutex::try_lock(manager_caller who, std::uint64_t task_name) {
    if (again(who, task_name)) return task_name;
    if (!lock_.try_lock(who)) return 0;
    task_ = task_name;
    depth_ = 1;
    return task_name;
}

void served_recursive_mutex::unlock(manager_caller who, std::uint64_t task_name) {
    if (!held_by(who, task_name))
        throw std::logic_error("managed_recursive_mutex: given up by a task that does not hold it");
    if (--depth_ == 0) lock_.unlock(who);
}

void served_recursive_mutex::unlock_if(manager_caller who, std::uint64_t taken_by) {
    if (taken_by != 0) unlock(who, taken_by);
}

party& managed_recursive_take::running() noexcept {
    party* const current = required_scheduler("a managed_recursive_mutex").current;
    require(current != nullptr, "a managed_recursive_mutex is taken inside a task");
    return *current;
}

// By its address, which is its own until it ends; and while it has a guard it may not.
std::uint64_t managed_recursive_take::name_of(const party& which) noexcept {
    return reinterpret_cast<std::uintptr_t>(&which);
}

void managed_recursive_take::require_asked_by(const party& awaiting) const noexcept {
    require(&awaiting == by_,
            "a managed_recursive_mutex is taken by the task that awaits it\n"
            "  wrong: co_await race(m.lock(), sleep(1s));   (each is a task of race's)\n"
            "  right: auto guard = co_await timeout(1s, m.lock());");
}

managed_recursive_guard managed_recursive_take::await_resume() {
    parcel_reader from = finish();
    const auto taken_by = read_value<std::uint64_t>(from);
    from.finish();
    if (taken_by == 0) return {};
    using body = served_recursive_mutex;
    managed_guard held(object(), pack_method<body, &body::unlock>(*object(), taken_by));
    return {std::move(held), *by_};
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

}  // namespace detail

managed_recursive_guard::managed_recursive_guard(managed_guard&& held, party& holder) noexcept
    : holder_(&holder), held_(std::move(held)) {
    detail::require(holder.bound != std::numeric_limits<std::uint16_t>::max(),
                    "a task has 65,535 guards of recursive mutexes at a time");
    ++holder.bound;
}

void managed_recursive_guard::unlock() noexcept {
    if (held_) {
        detail::require(holder_ == &detail::managed_recursive_take::running(),
                        "a managed_recursive_mutex is released by the task that took it");
        --holder_->bound;
    }
    held_.unlock();
}

}  // namespace lariat
