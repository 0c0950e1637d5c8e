#pragma once

#include <lariat/base/assert.hpp>
#include <lariat/base/clock.hpp>
#include <lariat/base/config.hpp>
#include <lariat/base/list.hpp>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace lariat {

/// One deadline and what happens at it. It lies in the frame or object that waits.
///
/// Lifetime     stays where it is; must be disarmed when it goes: its destructor asserts so
/// Allocation   none; 48 bytes
class timer_entry : private list_link {
 public:
    using action = void (*)(timer_entry&) noexcept;

    explicit timer_entry(action at_deadline) noexcept : fire(at_deadline) {}
    ~timer_entry() { detail::require(!armed(), "a timer is disarmed before it is destroyed"); }

    [[nodiscard]] bool armed() const noexcept { return place_ != nowhere; }

    action fire;
    time_point deadline = forever;  ///< set by timer_queue::arm

 private:
    friend class timer_queue;
    friend class overdue_timers;
    friend class list<timer_entry>;

    static constexpr std::uint16_t nowhere = 0xffff;
    static constexpr std::uint16_t overdue = 0xfffe;

    timer_entry* child_;  // these two serve overdue_timers only, which sets them
    std::uint32_t sequence_;
    std::uint16_t place_ = nowhere;  // index of the slot, or one of the two above
};

static_assert(sizeof(timer_entry) <= 48);

/// The timers armed for a moment that had already passed: a pairing heap on the timers' own links
/// (Fredman, Sedgewick, Sleator, Tarjan 1986), ordered by deadline, then by arming.
class overdue_timers {
 public:
    [[nodiscard]] bool empty() const noexcept { return root_ == nullptr; }
    [[nodiscard]] timer_entry& top() const noexcept { return *root_; }
    LARIAT_EXPORT void insert(timer_entry& item) noexcept;
    /// Cost: O(log n) amortised.
    LARIAT_EXPORT void remove(timer_entry& item) noexcept;

 private:
    static timer_entry* next_sibling(const timer_entry& item) noexcept;
    static timer_entry* meld(timer_entry* a, timer_entry* b) noexcept;
    static timer_entry* meld_siblings(timer_entry* first) noexcept;

    timer_entry* root_ = nullptr;
    std::uint32_t sequence_ = 0;
};

/// Every pending timer of one loop. It reads no clock: time is what it is told.
///
/// Order        by deadline, to the nanosecond; equal deadlines in the order of arming
/// Threads      one loop
/// Lifetime     timers still armed when the queue goes are disarmed and never fire
/// Allocation   none; 30 KiB in place
///
/// It is a radix trie laid over the bits of the deadline: ten levels of 128 slots, a slot spanning
/// one whole level below. A timer lies at the level of the highest digit in which its deadline
/// differs from `current_`, so
///   1. no armed deadline in the slots lies before `current_`; those that did are in `overdue_`;
///   2. everything at a level comes before everything at the levels above, and slots of a level
///      come in order: the first timer is found by two bit scans;
///   3. equal deadlines always share a slot, in the order of arming, as dealing a slot's timers
///      out keeps their order and finds the levels below empty.
/// When `current_` enters a slot, its timers are dealt to lower levels: at most nine times in a
/// timer's life, in practice twice. Chosen over a wheel of coarse ticks with a heap of the current
/// tick: no comparison is needed to bring timers in order, and no storage grows. Seven bits a level
/// were the fastest of six to eight: slots of 2 ms and 16 us, where most deadlines lie, hold few
/// enough timers to stay in the cache from one dealing to the next.
class timer_queue {
 public:
    /// `start` is about now: it spares the first timers a long way down, nothing more.
    explicit timer_queue(time_point start = no_wait) noexcept : current_(key_of(start)) {}
    LARIAT_EXPORT ~timer_queue();
    timer_queue(const timer_queue&) = delete;
    timer_queue& operator=(const timer_queue&) = delete;

    /// Arms `item`, which may be armed already: it then moves and counts as armed last. A deadline
    /// of `forever` never fires. Cost: O(1).
    void arm(timer_entry& item, time_point deadline) noexcept;

    /// Takes `item` back; nothing happens if it is not armed. Cost: O(1), of overdue timers
    /// O(log n) amortised.
    void disarm(timer_entry& item) noexcept;

    /// Returns the earliest deadline, `forever` when there is none. When timers were disarmed it
    /// may name a moment too early, never one too late. Cost: O(1).
    [[nodiscard]] time_point next() const noexcept;

    /// Fires up to `limit` timers whose deadline is not after `now`, in order, and returns how
    /// many. A timer is no longer armed when its `fire` runs, and that may arm, disarm and destroy
    /// any timer; what it arms for a moment not after `now` fires in this same call.
    LARIAT_EXPORT std::size_t fire_due(time_point now, std::size_t limit) noexcept;

    /// Returns one that is armed, null when none is.
    [[nodiscard]] LARIAT_EXPORT timer_entry* any() noexcept;
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }

 private:
    using key = std::uint64_t;
    static constexpr unsigned digit_bits = 7;
    static constexpr unsigned level_slots = 1U << digit_bits;
    static constexpr unsigned digit_mask = level_slots - 1;
    static constexpr unsigned level_count = 10;  // they cover 64 bits
    static constexpr unsigned slot_count = level_count * level_slots;

    struct slot {
        list<timer_entry> timers;
        key earliest = ~key{0};  // of all timers that came since it was empty
    };

    // Flipping the sign bit keeps the order of signed times among unsigned keys.
    static constexpr key sign_bit = key{1} << 63;
    static key key_of(time_point at) noexcept {
        return static_cast<key>(at.time_since_epoch().count()) ^ sign_bit;
    }
    static time_point time_of(key at) noexcept {
        return time_point(duration(static_cast<duration::rep>(at ^ sign_bit)));
    }

    static unsigned digit_of(key at, unsigned level) noexcept {
        return static_cast<unsigned>(at >> (level * digit_bits)) & digit_mask;
    }
    LARIAT_EXPORT void arm_overdue_or_again(timer_entry& item, time_point deadline) noexcept;
    void place(timer_entry& item) noexcept;
    void unplace(timer_entry& item) noexcept;
    void set_occupied(unsigned where) noexcept;
    void set_empty(unsigned where) noexcept;
    [[nodiscard]] unsigned first() const noexcept;
    timer_entry* due(key now) noexcept;
    void deal(unsigned where) noexcept;
    void deal_from_both_ends(list<timer_entry>& timers, unsigned level) noexcept;

    key current_;
    std::size_t size_ = 0;
    std::uint32_t words_ = 0;  // bit w: occupied_[w] is not 0
    std::array<std::uint64_t, slot_count / 64> occupied_{};
    overdue_timers overdue_;
    std::array<slot, slot_count> slots_;
};

inline void timer_queue::arm(timer_entry& item, time_point deadline) noexcept {
    if (item.armed() || key_of(deadline) < current_) [[unlikely]]
        return arm_overdue_or_again(item, deadline);
    item.deadline = deadline;
    ++size_;
    place(item);
}

inline void timer_queue::disarm(timer_entry& item) noexcept {
    if (!item.armed()) return;
    --size_;
    if (item.place_ != timer_entry::overdue) [[likely]]
        unplace(item);
    else
        overdue_.remove(item);
}

inline time_point timer_queue::next() const noexcept {
    if (!overdue_.empty()) return overdue_.top().deadline;
    return words_ != 0 ? time_of(slots_[first()].earliest) : forever;
}

inline void timer_queue::place(timer_entry& item) noexcept {
    const key at = key_of(item.deadline);
    const auto highest_bit = static_cast<unsigned>(63 - std::countl_zero((at ^ current_) | 1));
    const unsigned level = highest_bit / digit_bits;
    const unsigned where = level * level_slots + digit_of(at, level);
    slot& home = slots_[where];
    home.timers.push_back(item);
    home.earliest = at < home.earliest ? at : home.earliest;
    item.place_ = static_cast<std::uint16_t>(where);
    set_occupied(where);
}

inline void timer_queue::unplace(timer_entry& item) noexcept {
    const unsigned where = item.place_;
    item.unlink();
    item.place_ = timer_entry::nowhere;
    if (slots_[where].timers.empty()) set_empty(where);
}

inline void timer_queue::set_occupied(unsigned where) noexcept {
    occupied_[where / 64] |= std::uint64_t{1} << (where % 64);
    words_ |= std::uint32_t{1} << (where / 64);
}

inline void timer_queue::set_empty(unsigned where) noexcept {
    std::uint64_t& word = occupied_[where / 64];
    slots_[where].earliest = ~key{0};
    word &= ~(std::uint64_t{1} << (where % 64));
    if (word == 0) words_ &= ~(std::uint32_t{1} << (where / 64));
}

/// The first slot in the order of time. Pre: words_ != 0.
inline unsigned timer_queue::first() const noexcept {
    const auto word = static_cast<unsigned>(std::countr_zero(words_));
    return word * 64 + static_cast<unsigned>(std::countr_zero(occupied_[word]));
}

}  // namespace lariat
