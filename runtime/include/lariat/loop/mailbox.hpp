#pragma once

#include <lariat/base/config.hpp>
#include <lariat/base/frame_allocator.hpp>
#include <lariat/base/mpsc_queue.hpp>

#include <atomic>
#include <cstdint>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace lariat {

namespace detail {
class driver;

/// A message to a loop: called there once, or dropped when the loop closes first.
struct posted : mpsc_node {
    enum class end : bool { call, drop };
    using action = void (*)(posted&, end);

    explicit posted(action on_end) noexcept : ended(on_end) {}
    action ended;  ///< calls (or not), and frees the message
};

}  // namespace detail

/// Where other threads leave messages for a loop. It outlives the loop as long as somebody holds
/// it.
///
/// Order        messages of one thread are called in the order of posting
/// Threads      post: any; the rest is the loop's
/// Allocation   none here: the message is the poster's
class LARIAT_EXPORT mailbox {
 public:
    explicit mailbox(detail::driver& wakes) noexcept : driver_(&wakes) {}
    mailbox(const mailbox&) = delete;
    mailbox& operator=(const mailbox&) = delete;
    ~mailbox() { close(); }

    /// Returns false, and leaves the message with its owner, once the loop has closed. A message
    /// that was taken is never lost. One wake a burst, none while the loop is awake.
    [[nodiscard]] bool post(detail::posted& message) noexcept;

    [[nodiscard]] bool empty() const noexcept { return queue_.empty(); }
    /// Takes what has come so far.
    [[nodiscard]] mpsc_queue<detail::posted>::batch take() noexcept { return queue_.take_all(); }
    /// About to sleep. False if something has come: do not.
    [[nodiscard]] bool sleep() noexcept;
    /// After every sleep() that returned true.
    void awake() noexcept;
    /// How often a message found the loop asleep and woke it. Any thread.
    [[nodiscard]] std::uint64_t wakes() const noexcept {
        return wakes_paid_.load(std::memory_order_relaxed);
    }
    /// Refuses from now on and drops what is left.
    void close() noexcept;

 private:
    mpsc_queue<detail::posted> queue_;
    std::atomic<bool> sleeping_{false};
    // Whoever turns sleeping_ off has the duty to wake the driver; close waits until all have done
    // it.
    std::uint64_t wakes_owed_ = 0;
    std::atomic<std::uint64_t> wakes_paid_{0};
    detail::driver* driver_;
};

}  // namespace lariat
