#include <lariat/process/shm/semaphore.hpp>

#include <lariat/process/owner_died.hpp>
#include <lariat/process/shm/bounded_semaphore.hpp>

#include "process/arena_layout.hpp"
#include "process/slots.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>

namespace lariat {

namespace detail {

namespace {

constexpr std::uint32_t most_permits = std::numeric_limits<std::int32_t>::max();

std::uint32_t own_slot() noexcept {
    const owner_id self = this_owner.load(std::memory_order_relaxed);
    require(self != nobody,
            "a process that was forked by hand does not use its parent's shared objects: make it "
            "with lariat::process::start()");
    return slot_of(self);
}

guarded* guard_of(void* body) noexcept { return &static_cast<semaphore_body*>(body)->guard; }
void sweep_body(void* body, owner_id dead) noexcept {
    static_cast<semaphore_body*>(body)->sweep(dead);
}
bool keeps(void* body, owner_id who) noexcept {
    const auto& all = static_cast<semaphore_body*>(body)->held;
    return all[slot_of(who)].load(std::memory_order_relaxed) != 0;
}

}  // namespace

const cell_kind semaphore_kind{"semaphore", &guard_of, &sweep_body, &keeps};
const cell_kind bounded_semaphore_kind{"bounded semaphore", &guard_of, &sweep_body, &keeps};

cell_ref make_semaphore(std::size_t permits, bool bounded, bool spent) {
    if (permits > most_permits)
        throw std::invalid_argument("a shared semaphore has " + std::to_string(most_permits) +
                                    " permits at most, not " + std::to_string(permits));
    const auto count = static_cast<std::uint32_t>(permits);
    return make_cell<semaphore_body>(bounded ? bounded_semaphore_kind : semaphore_kind, count,
                                     bounded ? count : 0U, spent);
}

// What somebody had given back for a process that has ended since was not lost with it.
void semaphore_body::settle(transaction& change) noexcept {
    const std::uint32_t settled = std::min(lost(), returned.load(std::memory_order_relaxed));
    if (settled == 0) return;
    change.set(returned, returned.load(std::memory_order_relaxed) - settled);
    change.set(repaired, repaired.load(std::memory_order_relaxed) + settled);
}

// Inside a transaction's lock; true if it is decided.
bool semaphore_body::take(request& who) noexcept {
    transaction change(guard);
    settle(change);
    who.died = lost() != 0;
    const std::uint32_t free = available.load(std::memory_order_relaxed);
    const bool taken = !who.died && free >= who.count;
    if (taken) {
        change.set(available, free - who.count);
        if (!spent) {
            std::atomic<std::uint32_t>& mine = held[own_slot()];
            change.set(mine, mine.load(std::memory_order_relaxed) + who.count);
        }
    }
    change.commit();
    return taken || who.died;
}

bool semaphore_body::try_acquire(request& who) noexcept {
    (void)own_slot();
    return take(who);
}

futex_step semaphore_body::attempt(request& who) noexcept {
    (void)own_slot();
    if (take(who)) return futex_step::done();
    // Partners of release(): it looks at both after its change.
    if (who.count > 1) wants_many.store(1, std::memory_order_seq_cst);
    const std::uint32_t value = word.prepare();
    if (take(who)) return futex_step::done();
    return word.wait(value);
}

// Whose permits `count` were, of which `taken` were anybody's: this process's first, then the
// dead's, then those of a living one, which must not be written here: that process's end may be
// noted at any time. So they are counted, until it releases or ends.
void semaphore_body::account(transaction& change, std::uint32_t count,
                             std::uint32_t taken) noexcept {
    std::atomic<std::uint32_t>& mine = held[own_slot()];
    const std::uint32_t holds = mine.load(std::memory_order_relaxed);
    const std::uint32_t own = std::min(count, holds);
    if (own != 0) change.set(mine, holds - own);
    const std::uint32_t before = returned.load(std::memory_order_relaxed);
    if (own > taken) {  // somebody had returned some of them already
        change.set(returned, before - (own - taken));
        return;
    }
    const std::uint32_t of_the_dead = std::min(taken - own, lost());
    if (of_the_dead != 0)
        change.set(repaired, repaired.load(std::memory_order_relaxed) + of_the_dead);
    if (const std::uint32_t of_others = taken - own - of_the_dead; of_others != 0)
        change.set(returned, before + of_others);
}

// False if fewer are taken, and the semaphore is a bounded one.
bool semaphore_body::add(std::uint32_t count, std::uint32_t& taken) noexcept {
    (void)own_slot();
    {
        transaction change(guard);
        settle(change);
        const std::uint32_t free = available.load(std::memory_order_relaxed);
        const std::uint32_t all = made.load(std::memory_order_relaxed);
        taken = all - free;
        if (limit != 0 && taken < count) return false;
        require(count <= most_permits - free, "a shared semaphore has 2^31 - 1 permits at most");
        change.set(available, free + count);
        if (!spent) {
            if (count > taken) change.set(made, all + (count - taken));
            account(change, count, std::min(count, taken));
        }
        change.commit();
    }
    // Orders the change before the looks: partner of prepare().
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (word.bump()) {
        // Of those who wait, one may ask for more than there is, and another for less.
        if (count == 1 && wants_many.load(std::memory_order_seq_cst) == 0) {
            word.wake_one();
        } else {
            word.wake_all();
        }
    }
    return true;
}

void semaphore_body::release(std::size_t count) {
    std::uint32_t taken = 0;
    if (count == 0) return;
    require(count <= most_permits, "a shared semaphore has 2^31 - 1 permits at most");
    if (!add(static_cast<std::uint32_t>(count), taken))
        throw released_too_often(count, taken, limit);
}

void semaphore_body::give_back() noexcept {
    std::uint32_t taken = 0;
    bool gone = false;
    while (!gone) gone = add(1, taken) || let_go_of_returned();
}

// All permits are there, so somebody else has returned the one that this process's guard holds.
// False if that is so no more.
bool semaphore_body::let_go_of_returned() noexcept {
    transaction change(guard);
    settle(change);
    if (available.load(std::memory_order_relaxed) != made.load(std::memory_order_relaxed))
        return false;
    std::atomic<std::uint32_t>& mine = held[own_slot()];
    const std::uint32_t holds = mine.load(std::memory_order_relaxed);
    require(holds != 0,
            "a shm::bounded_semaphore's permit was released by the process whose guard held it");
    change.set(mine, holds - 1);
    change.set(returned, returned.load(std::memory_order_relaxed) - 1);
    change.commit();
    return true;
}

std::uint32_t semaphore_body::repair() noexcept {
    std::uint32_t given = 0;
    {
        transaction change(guard);
        settle(change);
        given = lost();
        if (given != 0) {
            change.set(available, available.load(std::memory_order_relaxed) + given);
            change.set(repaired, repaired.load(std::memory_order_relaxed) + given);
        }
        change.commit();
    }
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (given != 0 && word.bump()) word.wake_all();
    return given;
}

void semaphore_body::sweep(owner_id dead) noexcept {
    const std::uint32_t had = held[slot_of(dead)].exchange(0, std::memory_order_relaxed);
    if (had != 0) {
        dead_pid.store(pid_of(dead), std::memory_order_relaxed);
        lost_ever.fetch_add(had, std::memory_order_seq_cst);
    }
    word.sweep();
}

void semaphore_body::throw_died() const {
    throw_owner_died(limit != 0 ? "a shm::bounded_semaphore" : "a shm::semaphore",
                     dead_pid.load(std::memory_order_relaxed),
                     "call its repair(), which gives back what that process held");
}

std::uint32_t semaphore_verbs::checked(std::size_t count) const noexcept {
    require(count <= (body_->limit != 0 ? body_->limit : most_permits),
            "more permits were asked for than this shared semaphore will ever have");
    return static_cast<std::uint32_t>(count);
}

bool semaphore_verbs::try_acquire(std::size_t count) const {
    semaphore_body::request wanted;
    wanted.count = checked(count);
    const bool taken = body_->try_acquire(wanted);
    if (wanted.died) body_->throw_died();
    return taken;
}

bool semaphore_verbs::acquire_until(time_point deadline) const {
    semaphore_body::request wanted;
    const bool taken = futex_block([&] { return body_->attempt(wanted); }, deadline);
    if (wanted.died) body_->throw_died();
    return taken;
}

void semaphore_verbs::acquire_blocking(std::source_location where) const {
    require_no_loop("acquire_blocking", "co_await x.acquire()", where);
    (void)acquire_until(forever);
}
bool semaphore_verbs::acquire_blocking(duration longest, std::source_location where) const {
    require_no_loop("acquire_blocking", "co_await lariat::timeout(t, x.acquire())", where);
    return acquire_until(deadline_after(longest));
}
semaphore_verbs::permit semaphore_verbs::scoped_acquire_blocking(std::source_location where) const {
    require_no_loop("scoped_acquire_blocking", "co_await x.scoped_acquire()", where);
    (void)acquire_until(forever);
    return semaphore_body::hold_one(*body_);
}
semaphore_verbs::permit semaphore_verbs::scoped_acquire_blocking(duration longest,
                                                                 std::source_location where) const {
    require_no_loop("scoped_acquire_blocking", "co_await lariat::timeout(t, x.scoped_acquire())",
                    where);
    return acquire_until(deadline_after(longest)) ? semaphore_body::hold_one(*body_) : permit();
}

}  // namespace detail

namespace shm {

using body_handle = detail::shared_handle<detail::semaphore_body>;

semaphore::semaphore(std::size_t count, permits use)
    : semaphore_verbs(body_handle(detail::make_semaphore(count, false, use == permits::spent))) {}

semaphore semaphore::unpack_from(detail::parcel_reader& from) {
    return semaphore(body_handle::unpack(from, detail::semaphore_kind, typeid(semaphore)));
}

bounded_semaphore::bounded_semaphore(std::size_t count)
    : semaphore_verbs(body_handle(detail::make_semaphore(count, true, false))) {
    detail::require(count != 0, "a bounded_semaphore of no permits would let nobody in, ever");
}

bounded_semaphore bounded_semaphore::unpack_from(detail::parcel_reader& from) {
    return bounded_semaphore(
        body_handle::unpack(from, detail::bounded_semaphore_kind, typeid(bounded_semaphore)));
}

}  // namespace shm

}  // namespace lariat
