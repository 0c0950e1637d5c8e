#include "loop/futex_helper.hpp"

#include "base/signals_blocked.hpp"
#include "loop/futex_calls.hpp"

#include <lariat/base/assert.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <new>
#include <thread>
#include <utility>

#include <pthread.h>

namespace lariat::detail {

namespace {

using namespace std::chrono_literals;

/// Without futex_waitv: a cancellation that came as its thread lay down is seen after so long.
constexpr duration look_up_time = 250ms;
/// The kernel had no memory for so many words.
constexpr duration refusal_pause = 1ms;

::futex_waitv entry_for(const futex_word& word, std::uint32_t expected) noexcept {
    ::futex_waitv entry{};
    entry.val = expected;
    entry.uaddr = reinterpret_cast<std::uintptr_t>(&word);
    entry.flags = FUTEX_32;  // and not FUTEX_PRIVATE_FLAG
    return entry;
}

time_point in(duration length) noexcept { return saturating_add(clock::now(), length); }

}  // namespace

futex_helper::futex_helper() : habits_{has_futex_waitv(), 5s} {}

futex_helper& futex_helper::shared() {
    static futex_helper* const only = [] {
        auto made = std::unique_ptr<futex_helper>(new futex_helper);
        if (::pthread_atfork(&lock_for_fork, &unlock_in_parent, &reset_in_child) != 0)
            throw std::bad_alloc();
        return made.release();
    }();
    return *only;
}

void futex_helper::add(futex_errand& wait) {
    const std::lock_guard held(mutex_);
    futex_lane& lane = lane_with_room();
    if (!lane.served) start_thread(lane);
    wait.lane = &lane;
    wait.cancel_asked = false;
    lane.waits[lane.count++] = &wait;
    if (tell_news(lane)) futex_wake(lane.news, 1);
}

void futex_helper::cancel(futex_errand& wait) noexcept {
    const std::lock_guard held(mutex_);
    if (wait.lane == nullptr || wait.cancel_asked) return;
    wait.cancel_asked = true;
    if (!tell_news(*wait.lane)) return;
    if (wait.lane->takes_many())
        futex_wake(wait.lane->news, 1);
    else
        futex_wake_bits(*wait.word, futex_helper_bit);
}

futex_helper::habits futex_helper::change(const habits& to) noexcept {
    const std::lock_guard held(mutex_);
    for (const auto& lane : lanes_)
        if (lane->count == 0 && tell_news(*lane)) futex_wake(lane->news, 1);
    return std::exchange(habits_, to);
}

futex_helper::numbers futex_helper::stats() noexcept {
    const std::lock_guard held(mutex_);
    numbers now{0, 0};
    for (const auto& lane : lanes_) {
        now.threads += lane->served ? 1 : 0;
        now.waits += lane->count;
    }
    return now;
}

/// One that is served, if there is room in one.
futex_lane& futex_helper::lane_with_room() {
    futex_lane* unserved = nullptr;
    for (const auto& lane : lanes_) {
        if (lane->count == lane->room || lane->takes_many() != habits_.vectors) continue;
        if (lane->served) return *lane;
        unserved = lane.get();
    }
    if (unserved != nullptr) return *unserved;
    lanes_.push_back(std::make_unique<futex_lane>(habits_.vectors));
    return *lanes_.back();
}

void futex_helper::start_thread(futex_lane& lane) {
    const signals_blocked quiet;
    // Detached: it waits for nothing of the process's at exit, and ends with it.
    std::thread([this, &lane] { serve(lane); }).detach();
    lane.served = true;
    lane.asleep = false;
}

void futex_helper::serve(futex_lane& lane) noexcept {
    ::pthread_setname_np(::pthread_self(), "lariat-futex");
    std::unique_lock held(mutex_);
    for (int woken = -EAGAIN;;) {
        ended_waits ended;
        const std::size_t count = take_ended(lane, woken, ended);
        if (count != 0) {
            held.unlock();
            std::for_each_n(ended.begin(), count, [](futex_errand* wait) { tell(*wait); });
            held.lock();
            woken = -EAGAIN;
            continue;
        }
        if (woken == -ETIMEDOUT && lane.count == 0) break;
        // A copy: others may come behind these while it sleeps.
        const std::size_t waits = lane.count;
        const std::uint32_t news = lane.news.load(std::memory_order_relaxed);
        const duration idle_time = habits_.idle_time;
        lane.asleep = true;
        held.unlock();
        woken = sleep(lane, std::span(lane.waits).first(waits), news, idle_time);
        held.lock();
        lane.asleep = false;
    }
    lane.served = false;
}

/// The place of a wait that was woken, or a negated errno: then all are to be looked at.
int futex_helper::sleep(const futex_lane& lane, std::span<futex_errand* const> waits,
                        std::uint32_t news, duration idle_time) noexcept {
    if (waits.empty()) {
        const int ended = futex_sleep(lane.news, news, futex_all_bits, in(idle_time));
        return ended == -ETIMEDOUT ? ended : -EAGAIN;
    }
    int result = 0;
    if (lane.takes_many()) {
        std::array<::futex_waitv, futex_lane::most + 1> entries;
        std::size_t count = 0;
        for (const futex_errand* wait : waits)
            entries[count++] = entry_for(*wait->word, wait->expected);
        entries[count++] = entry_for(lane.news, news);
        result = futex_sleep_any(entries.data(), count, forever);
        // The last place was the news': meanwhile a wait that has come since may have it.
        if (result == static_cast<int>(waits.size())) result = -EAGAIN;
    } else {
        const futex_errand& only = *waits.front();
        result = futex_sleep(*only.word, only.expected, futex_all_bits, in(look_up_time));
    }
    if (result == -ENOMEM) (void)futex_sleep(lane.news, news, futex_all_bits, in(refusal_pause));
    require(result != -EFAULT && result != -EINVAL,
            "a word that is waited for lies in memory that stays mapped");
    return result;
}

/// Of several that were woken the kernel names one. So all whose word has changed are taken for
/// woken: they may have been. One whose word has its value again can wait on, or be cancelled (see
/// the rule of a word).
std::size_t futex_helper::take_ended(futex_lane& lane, int woken, ended_waits& into) noexcept {
    std::size_t taken = 0;
    for (std::size_t at = lane.count; at-- > 0;) {
        futex_errand& wait = *lane.waits[at];
        // Relaxed: the one who waits looks again by itself.
        const bool changed = wait.word->load(std::memory_order_relaxed) != wait.expected;
        // Alone, it may have been woken for the cancellation.
        const bool named =
            static_cast<int>(at) == woken && (lane.takes_many() || !wait.cancel_asked);
        if (changed || named)
            wait.ended_as = futex_end::woken;
        else if (wait.cancel_asked)
            wait.ended_as = futex_end::cancelled;
        else
            continue;
        wait.lane = nullptr;
        lane.waits[at] = lane.waits[--lane.count];
        into[taken++] = &wait;
    }
    return taken;
}

void futex_helper::tell(futex_errand& wait) noexcept {
    // Kept here: once the message has arrived, nothing keeps the mailbox from going while it is
    // used.
    const std::shared_ptr<mailbox> box = *wait.box;
    const bool taken = box->post(wait);
    require(taken, "a loop was closed while something of its waited for a shared word");
}

/// True if the lane's thread is to be woken for it: once for however much.
bool futex_helper::tell_news(futex_lane& lane) noexcept {
    lane.news.fetch_add(1, std::memory_order_relaxed);
    return std::exchange(lane.asleep, false);
}

void futex_helper::lock_for_fork() noexcept { shared().mutex_.lock(); }
void futex_helper::unlock_in_parent() noexcept { shared().mutex_.unlock(); }

void futex_helper::reset_in_child() noexcept {
    futex_helper& self = shared();
    for (const auto& lane : self.lanes_) {
        // The waits lie in frames of loops that are the parent's, and are left alone.
        lane->count = 0;
        lane->served = lane->asleep = false;
    }
    self.mutex_.unlock();
}

}  // namespace lariat::detail
