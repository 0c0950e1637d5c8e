#pragma once

#include <lariat/base/list.hpp>
#include <lariat/task/waiter.hpp>

#include <cstddef>

namespace lariat {

/// The one line that every primitive waits in.
///
/// Order        FIFO, also when some leave
/// Threads      one loop
/// Lifetime     its waiters leave first: an object may not die under them (asserted)
/// Allocation   none; leaving is O(1)
class wait_queue {
 public:
    wait_queue() noexcept = default;
    wait_queue(const wait_queue&) = delete;
    wait_queue& operator=(const wait_queue&) = delete;
    ~wait_queue() {
        detail::require(line_.empty(), "an object must outlive the tasks that wait for it");
    }

    [[nodiscard]] bool empty() const noexcept { return line_.empty(); }
    void add(line_waiter& w) noexcept { line_.push_back(w); }
    /// Pre: not empty.
    [[nodiscard]] line_waiter& front() noexcept { return line_.front(); }

    /// Wakes the one who came first; false if there is none.
    bool wake_one() noexcept {
        if (line_.empty()) return false;
        line_.pop_front().wake();
        return true;
    }
    std::size_t wake_all() noexcept {
        std::size_t woken = 0;
        while (wake_one()) ++woken;
        return woken;
    }

    /// The `cut` of waits that nothing but their place in the line binds.
    static void leave(waiter& w) noexcept {
        static_cast<line_waiter&>(w).unlink();
        w.wake(wake_reason::cut);
    }

 private:
    list<line_waiter> line_;
};

}  // namespace lariat
