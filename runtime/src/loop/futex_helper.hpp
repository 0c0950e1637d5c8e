#pragma once

#include <lariat/base/clock.hpp>
#include <lariat/loop/futex.hpp>

#include <array>
#include <cstddef>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

namespace lariat::detail {

/// The waits of one helper thread. The helper's lock guards all but `news`.
///
/// States       without a thread -> served (add) -> without a thread (it had nothing for a while)
/// Invariant 1  only its thread takes waits out, so that places stay while it sleeps
/// Invariant 2  its thread reads `news` and sets `asleep` in one go, under the lock, and sleeps
///              only if `news` is still the same: whoever changes it and finds `asleep` clear need
///              not wake
struct futex_lane {
    /// FUTEX_WAITV_MAX is 128, and one place is for `news`.
    static constexpr std::size_t most = 127;

    explicit futex_lane(bool takes_many) noexcept : room(takes_many ? most : 1) {}

    [[nodiscard]] bool takes_many() const noexcept { return room == most; }

    futex_word news{0};  ///< changes when waits were added or withdrawn
    std::size_t room;
    std::size_t count = 0;
    bool served = false;  ///< has a thread
    bool asleep = false;  ///< and that must be woken
    std::array<futex_errand*, most> waits{};
};

/// Waits for words on threads of its own, for loops whose driver cannot: 127 words a thread by
/// futex_waitv, or, before Linux 5.16, one a thread. A thread that has had nothing to do for some
/// seconds ends. They are named lariat-futex and take no signals.
///
/// Decision: those old kernels get a thread a wait instead of one that looks at all words again and
/// again: a thread that sleeps costs some pages, polling costs a core. A sleeping one cannot be
/// told of a cancellation without a race (it sleeps on the one word, which is the user's), so it
/// gets up four times a second to look whether the wake of a cancellation has missed it.
///
/// Order        none
/// Threads      any. A forked child begins with no waits and no threads; those are its parent's
/// Lifetime     the process's; it is never destroyed, as threads may wait at exit
/// Allocation   a lane when more is waited for than ever before; kept
class futex_helper {
 public:
    [[nodiscard]] static futex_helper& shared();

    futex_helper(const futex_helper&) = delete;
    futex_helper& operator=(const futex_helper&) = delete;

    /// It ends with a message to its loop: woken, or cancelled. Errors: std::system_error for want
    /// of a thread, std::bad_alloc; then nothing has begun.
    void add(futex_errand& wait);
    /// Asks that it end. One that has ended: nothing.
    void cancel(futex_errand& wait) noexcept;

    struct habits {
        bool vectors;        ///< futex_waitv, for lanes that are begun from now on
        duration idle_time;  ///< a thread that has had nothing to wait for so long, ends
    };
    /// For tests. Returns what they were.
    habits change(const habits& to) noexcept;
    struct numbers {
        std::size_t threads;
        std::size_t waits;
    };
    [[nodiscard]] numbers stats() noexcept;

 private:
    using ended_waits = std::array<futex_errand*, futex_lane::most>;

    futex_helper();
    [[nodiscard]] futex_lane& lane_with_room();
    void start_thread(futex_lane& lane);
    void serve(futex_lane& lane) noexcept;
    [[nodiscard]] static int sleep(const futex_lane& lane, std::span<futex_errand* const> waits,
                                   std::uint32_t news, duration idle_time) noexcept;
    [[nodiscard]] static std::size_t take_ended(futex_lane& lane, int woken,
                                                ended_waits& into) noexcept;
    static void tell(futex_errand& wait) noexcept;
    [[nodiscard]] static bool tell_news(futex_lane& lane) noexcept;

    static void lock_for_fork() noexcept;
    static void unlock_in_parent() noexcept;
    static void reset_in_child() noexcept;

    std::mutex mutex_;
    std::vector<std::unique_ptr<futex_lane>> lanes_;
    habits habits_;
};

}  // namespace lariat::detail
