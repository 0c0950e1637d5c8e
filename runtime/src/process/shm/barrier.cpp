#include <lariat/process/shm/barrier.hpp>

#include <lariat/base/assert.hpp>
#include <lariat/base/error.hpp>
#include <lariat/sync/shared/waiting.hpp>

#include "process/arena_layout.hpp"

#include <algorithm>
#include <bit>

namespace lariat {

namespace detail {

namespace {

std::uint32_t own_slot() noexcept {
    const owner_id self = this_owner.load(std::memory_order_relaxed);
    require(self != nobody,
            "a process that was forked by hand does not use its parent's shared objects: make it "
            "with lariat::process::start()");
    return slot_of(self);
}

std::uint32_t value_of(const std::atomic<std::uint32_t>& word) noexcept {
    return word.load(std::memory_order_relaxed);
}

/// How many of a process wait in this round.
std::uint32_t waiting_in(std::uint64_t entry, std::uint32_t round) noexcept {
    return entry >> 32U == round ? static_cast<std::uint32_t>(entry) : 0;
}
std::uint64_t entry_of(std::uint32_t round, std::uint32_t count) noexcept {
    return (std::uint64_t{round} << 32U) | count;
}

constexpr cell_kind kind{
    "barrier",
    +[](void* body) noexcept -> guarded* { return &static_cast<barrier_body*>(body)->guard; },
    +[](void* body, owner_id dead) noexcept { static_cast<barrier_body*>(body)->sweep(dead); }};

std::uint32_t checked(std::size_t parties) noexcept {
    require(parties != 0 && parties <= barrier_body::most_parties,
            "a shm::barrier is for 1 to 1,024 parties");
    return static_cast<std::uint32_t>(parties);
}

}  // namespace

// The lowest: so the last to come has the last index, also after others have left.
std::uint32_t barrier_body::free_place() const noexcept {
    std::uint32_t first = 0;
    for (const auto& each : places) {
        const std::uint64_t taken = each.load(std::memory_order_relaxed);
        if (taken != ~std::uint64_t{0})
            return first + static_cast<std::uint32_t>(std::countr_one(taken));
        first += 64;
    }
    return first;
}

bool barrier_body::has_broken(std::uint32_t which) const noexcept {
    return std::any_of(broken_rounds.begin(), broken_rounds.end(),
                       [which](const auto& each) { return value_of(each) == which + 1; });
}

void barrier_body::next_round(transaction& change) noexcept {
    change.set(round, value_of(round) + 1);
    change.set(arrived, 0);
    for (auto& each : places)
        if (each.load(std::memory_order_relaxed) != 0) change.set(each, 0);
}

void barrier_body::break_round(transaction& change) noexcept {
    const std::uint32_t before = value_of(broken_count);
    change.set(broken_rounds[before % remembered], value_of(round) + 1);
    change.set(broken_count, before + 1);
    next_round(change);
}

// A process that waited in this round has ended.
void barrier_body::note_deaths(transaction& change) noexcept {
    if (died_in.load(std::memory_order_acquire) != value_of(round) + 1) return;
    break_round(change);
    change.set(broken, 1);
}

void barrier_body::arrive(transaction& change, request& who) noexcept {
    who.place = free_place();
    who.round = value_of(round);
    if (value_of(arrived) + 1 == parties) {
        next_round(change);
        return;
    }
    std::atomic<std::uint64_t>& bits = places[who.place / 64];
    change.set(bits, bits.load(std::memory_order_relaxed) | (std::uint64_t{1} << (who.place % 64)));
    change.set(arrived, value_of(arrived) + 1);
    std::atomic<std::uint64_t>& mine = waiting[own_slot()];
    const std::uint32_t others = waiting_in(mine.load(std::memory_order_relaxed), who.round);
    change.set(mine, entry_of(who.round, others + 1));
    who.arrived = true;
}

// Whether there is nothing to wait for.
bool barrier_body::look(request& who) noexcept {
    bool done = true;
    bool all_may_go = false;
    {
        transaction change(guard);
        const std::uint32_t before = value_of(round);
        note_deaths(change);
        if (who.arrived) {
            done = who.round != value_of(round);
            if (done) who.broken = has_broken(who.round);
            who.arrived = !done;
        } else if (value_of(broken) != 0) {
            who.broken = true;
        } else {
            arrive(change, who);
            done = !who.arrived;
        }
        all_may_go = before != value_of(round);
        change.commit();
    }
    if (all_may_go) {
        std::atomic_thread_fence(std::memory_order_seq_cst);
        if (word.bump()) word.wake_all();
    }
    return done;
}

futex_step barrier_body::attempt(request& who) noexcept {
    (void)own_slot();
    if (look(who)) return futex_step::done();
    const std::uint32_t value = word.prepare();
    return look(who) ? futex_step::done() : word.wait(value);
}

bool barrier_body::leave(request& who) noexcept {
    if (!who.arrived) return true;
    transaction change(guard);
    note_deaths(change);
    const bool waits = who.round == value_of(round);
    if (waits) {
        std::atomic<std::uint64_t>& bits = places[who.place / 64];
        change.set(bits,
                   bits.load(std::memory_order_relaxed) & ~(std::uint64_t{1} << (who.place % 64)));
        change.set(arrived, value_of(arrived) - 1);
        std::atomic<std::uint64_t>& mine = waiting[own_slot()];
        change.set(mine, mine.load(std::memory_order_relaxed) - 1);
    } else {
        who.broken = has_broken(who.round);
    }
    who.arrived = false;
    change.commit();
    return waits;
}

void barrier_body::end_round(bool stays_broken) noexcept {
    (void)own_slot();
    {
        transaction change(guard);
        break_round(change);
        change.set(broken, stays_broken ? 1 : 0);
        change.commit();
    }
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (word.bump()) word.wake_all();
}

void barrier_body::sweep(owner_id dead) noexcept {
    const std::uint64_t entry = waiting[slot_of(dead)].exchange(0, std::memory_order_relaxed);
    if (static_cast<std::uint32_t>(entry) != 0) {
        const auto in = static_cast<std::uint32_t>(entry >> 32U) + 1;
        // The latest counts, whoever is swept first.
        if (static_cast<std::int32_t>(in - died_in.load(std::memory_order_relaxed)) > 0)
            died_in.store(in, std::memory_order_seq_cst);
    }
    word.sweep();
}

}  // namespace detail

namespace shm {

using body_handle = detail::shared_handle<detail::barrier_body>;

barrier::barrier(std::size_t parties)
    : barrier(body_handle(
          detail::make_cell<detail::barrier_body>(detail::kind, detail::checked(parties)))) {}

barrier barrier::unpack_from(detail::parcel_reader& from) {
    return barrier(body_handle::unpack(from, detail::kind, typeid(barrier)));
}

lariat::result<std::size_t> barrier::awaiter::finish_nothrow() {
    if (!came_late_) finish();
    if (request_.broken) return make_error_code(errc::broken_barrier);
    return std::size_t{request_.place};
}

std::size_t barrier::wait_blocking(std::source_location where) const {
    detail::require_no_loop("wait_blocking", "co_await x.wait()", where);
    detail::barrier_body::request who;
    (void)detail::futex_block([&] { return body_->attempt(who); }, forever);
    if (who.broken) throw broken_barrier("shm::barrier");
    return who.place;
}

std::optional<std::size_t> barrier::wait_blocking(duration longest,
                                                  std::source_location where) const {
    detail::require_no_loop("wait_blocking", "co_await lariat::timeout(t, x.wait())", where);
    detail::barrier_body::request who;
    const bool came =
        detail::futex_block([&] { return body_->attempt(who); }, detail::deadline_after(longest));
    if (!came && body_->leave(who)) return std::nullopt;
    if (who.broken) throw broken_barrier("shm::barrier");
    return who.place;
}

}  // namespace shm

}  // namespace lariat
