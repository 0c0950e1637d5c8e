#include <lariat/process/shm/rw_mutex.hpp>

#include <lariat/process/owner_died.hpp>

#include "process/arena_layout.hpp"
#include "process/slots.hpp"

namespace lariat {

namespace detail {

namespace {

constexpr const char* not_held =
    "a shm::rw_mutex is given back by the process that holds it, once for each lock";

owner_id own() noexcept {
    const owner_id self = this_owner.load(std::memory_order_relaxed);
    require(self != nobody,
            "a process that was forked by hand does not use its parent's shared objects: make it "
            "with lariat::process::start()");
    return self;
}

std::uint32_t value_of(const std::atomic<std::uint32_t>& word) noexcept {
    return word.load(std::memory_order_relaxed);
}

/// Pre: after the change that they wait for was committed. Orders it before the look at the word:
/// the partner of prepare().
bool told(wait_word& who) noexcept {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    return who.bump();
}

constexpr cell_kind kind{
    "rw_mutex",
    +[](void* body) noexcept -> guarded* { return &static_cast<rw_mutex_body*>(body)->lock; },
    +[](void* body, owner_id dead) noexcept { static_cast<rw_mutex_body*>(body)->sweep(dead); }};

}  // namespace

// True if it is decided: it is in, or somebody has died. The fork server notes a death before it
// gives back what the dead held, so what is held is looked at first.
bool rw_mutex_body::enter(request& who) noexcept {
    const owner_id self = own();
    transaction change(lock);
    who.died = false;
    const bool taken = writer.load(std::memory_order_acquire) != nobody || readers() != 0;
    if (!who.repairs && word.inconsistent()) {
        who.died = true;
        who.pid = word.dead_pid();
    } else if (const std::uint32_t dead = dead_readers.load(std::memory_order_acquire);
               dead != value_of(told)) {
        who.died = !who.repairs;
        who.pid = dead_reader_pid.load(std::memory_order_relaxed);
        change.set(told, dead);
    }
    if (!who.died) {
        if (taken) {
            change.commit();
            return false;
        }
        change.set(writer, self);
    }
    if (who.counted) {
        std::atomic<std::uint32_t>& mine = waiting[slot_of(self)];
        change.set(mine, value_of(mine) - 1);
        change.set(came, value_of(came) - 1);
        who.counted = false;
    }
    change.commit();
    return true;
}

void rw_mutex_body::count(request& who) noexcept {
    if (std::exchange(who.counted, true)) return;
    std::atomic<std::uint32_t>& mine = waiting[slot_of(own())];
    transaction change(lock);
    change.set(mine, value_of(mine) + 1);
    change.set(came, value_of(came) + 1);
    change.commit();
}

void rw_mutex_body::leave(request& who) noexcept {
    if (!std::exchange(who.counted, false)) return;
    std::atomic<std::uint32_t>& mine = waiting[slot_of(own())];
    {
        transaction change(lock);
        change.set(mine, value_of(mine) - 1);
        change.set(came, value_of(came) - 1);
        change.commit();
    }
    if (detail::told(to_read)) to_read.wake_all();
}

bool rw_mutex_body::enter_shared(request& who) noexcept {
    const owner_id self = own();
    transaction change(lock);
    who.died = false;
    const bool taken = writer.load(std::memory_order_acquire) != nobody;
    if (word.inconsistent()) {
        who.died = true;
        who.pid = word.dead_pid();
        change.commit();
        return true;
    }
    const bool my_turn = waiting_writers() == 0 || (who.has_waited && who.since != value_of(round));
    const bool in = !taken && my_turn;
    if (in) {
        std::atomic<std::uint32_t>& mine = reading[slot_of(self)];
        change.set(mine, value_of(mine) + 1);
        change.set(entered, value_of(entered) + 1);
    } else if (!std::exchange(who.has_waited, true)) {
        who.since = value_of(round);
    }
    change.commit();
    return in;
}

futex_step rw_mutex_body::attempt(request& who) noexcept {
    const bool counted = who.counted;
    std::uint32_t value = 0;
    bool decided = enter(who);
    if (!decided) {
        count(who);
        value = to_write.prepare();
        decided = enter(who);
    }
    if (!decided) return to_write.wait(value);
    // It is told of a death, and holds up no reader any more.
    if (counted && who.died && detail::told(to_read)) to_read.wake_all();
    return futex_step::done();
}

futex_step rw_mutex_body::attempt_shared(request& who) noexcept {
    if (enter_shared(who)) return futex_step::done();
    const std::uint32_t value = to_read.prepare();
    return enter_shared(who) ? futex_step::done() : to_read.wait(value);
}

bool rw_mutex_body::try_lock(request& who) noexcept { return enter(who); }
bool rw_mutex_body::try_lock_shared(request& who) noexcept { return enter_shared(who); }

void rw_mutex_body::unlock() noexcept {
    {
        transaction change(lock);
        require(writer.load(std::memory_order_relaxed) == own(), not_held);
        change.set(writer, nobody);
        change.set(round, value_of(round) + 1);
        change.commit();
    }
    if (detail::told(to_read)) to_read.wake_all();
    if (to_write.bump()) to_write.wake_one();
}

void rw_mutex_body::unlock_shared() noexcept {
    bool last = false;
    {
        transaction change(lock);
        std::atomic<std::uint32_t>& mine = reading[slot_of(own())];
        require(value_of(mine) != 0, not_held);
        change.set(mine, value_of(mine) - 1);
        change.set(entered, value_of(entered) - 1);
        last = readers() == 0;
        change.commit();
    }
    if (last && detail::told(to_write)) to_write.wake_one();
}

void rw_mutex_body::sweep(owner_id dead) noexcept {
    const std::uint32_t slot = slot_of(dead);
    const int pid = pid_of(dead);
    if (writer.load(std::memory_order_acquire) == dead) {
        word.last_pid.store(pid, std::memory_order_relaxed);
        word.deaths.fetch_add(1, std::memory_order_seq_cst);
        writer.store(nobody, std::memory_order_seq_cst);
    }
    if (const std::uint32_t had = reading[slot].exchange(0, std::memory_order_relaxed); had != 0) {
        dead_reader_pid.store(pid, std::memory_order_relaxed);
        dead_readers.fetch_add(1, std::memory_order_seq_cst);
        lost.fetch_add(had, std::memory_order_seq_cst);
    }
    gone.fetch_add(waiting[slot].exchange(0, std::memory_order_relaxed), std::memory_order_seq_cst);
    for (wait_word* each : {&to_write, &to_read}) each->sweep();
}

void rw_mutex_body::throw_died(const request& who) const {
    throw_owner_died("a shm::rw_mutex", who.pid,
                     word.inconsistent()
                         ? "take it with lock_to_repair()"
                         : "it was a reader and has changed nothing: lock it again");
}

}  // namespace detail

namespace shm {

using detail::rw_mutex_body;
using body_handle = detail::shared_handle<rw_mutex_body>;

rw_mutex::rw_mutex() : rw_mutex(body_handle(detail::make_cell<rw_mutex_body>(detail::kind))) {}

rw_mutex rw_mutex::unpack_from(detail::parcel_reader& from) {
    return rw_mutex(body_handle::unpack(from, detail::kind, typeid(rw_mutex)));
}

rw_mutex::guard rw_mutex::try_lock() const {
    rw_mutex_body::request once;
    if (!body_->try_lock(once)) return guard();
    if (once.died) body_->throw_died(once);
    return rw_mutex_body::hold(*body_);
}

rw_mutex::shared_guard rw_mutex::try_lock_shared() const {
    rw_mutex_body::request once;
    if (!body_->try_lock_shared(once)) return shared_guard();
    if (once.died) body_->throw_died(once);
    return rw_mutex_body::hold_shared(*body_);
}

rw_mutex::guard rw_mutex::lock_until(time_point deadline) const {
    rw_mutex_body::request wanted;
    if (!detail::futex_block([&] { return body_->attempt(wanted); }, deadline)) {
        body_->leave(wanted);
        return guard();
    }
    if (wanted.died) body_->throw_died(wanted);
    return rw_mutex_body::hold(*body_);
}

rw_mutex::shared_guard rw_mutex::lock_shared_until(time_point deadline) const {
    rw_mutex_body::request wanted;
    if (!detail::futex_block([&] { return body_->attempt_shared(wanted); }, deadline))
        return shared_guard();
    if (wanted.died) body_->throw_died(wanted);
    return rw_mutex_body::hold_shared(*body_);
}

rw_mutex::guard rw_mutex::lock_blocking(std::source_location where) const {
    detail::require_no_loop("lock_blocking", "auto guard = co_await x.lock()", where);
    return lock_until(forever);
}
rw_mutex::guard rw_mutex::lock_blocking(duration longest, std::source_location where) const {
    detail::require_no_loop("lock_blocking", "auto guard = co_await lariat::timeout(t, x.lock())",
                            where);
    return lock_until(detail::deadline_after(longest));
}
rw_mutex::shared_guard rw_mutex::lock_shared_blocking(std::source_location where) const {
    detail::require_no_loop("lock_shared_blocking", "auto guard = co_await x.lock_shared()", where);
    return lock_shared_until(forever);
}
rw_mutex::shared_guard rw_mutex::lock_shared_blocking(duration longest,
                                                      std::source_location where) const {
    detail::require_no_loop("lock_shared_blocking",
                            "auto guard = co_await lariat::timeout(t, x.lock_shared())", where);
    return lock_shared_until(detail::deadline_after(longest));
}
rw_mutex::repair_guard rw_mutex::lock_to_repair_blocking(std::source_location where) const {
    detail::require_no_loop("lock_to_repair_blocking", "auto guard = co_await x.lock_to_repair()",
                            where);
    rw_mutex_body::request wanted;
    wanted.repairs = true;
    (void)detail::futex_block([&] { return body_->attempt(wanted); }, forever);
    return rw_mutex_body::hold_to_repair(rw_mutex_body::hold(*body_));
}

}  // namespace shm

}  // namespace lariat
