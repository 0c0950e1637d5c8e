#pragma once

#include <lariat/base/clock.hpp>
#include <lariat/loop/mailbox.hpp>
#include <lariat/sync/shared/line.hpp>
#include <lariat/task/promise.hpp>
#include <lariat/task/scheduler.hpp>

#include <atomic>
#include <cstdint>
#include <memory>
#include <source_location>
#include <utility>

namespace lariat::detail {

/// A task's wait that another thread may end: the message that takes the news to its loop lies here
/// and so in the waiting frame, which stays until it has arrived.
///
/// Threads      made, awaited and cut on its loop; come_back: any
/// Allocation   none
class LARIAT_EXPORT loop_wait : public wait_point, private posted {
 protected:
    explicit loop_wait(const wait_kind& what) noexcept : wait_point(what), posted(&arrived) {}
    /// Pre: not awaited yet.
    loop_wait(loop_wait&& other) noexcept
        : wait_point(static_cast<wait_point&&>(other)), posted(&arrived) {}
    ~loop_wait() = default;

    /// Notes the running loop, before others can see this.
    void set_out() noexcept;
    /// Wakes the task, through its loop's mailbox if that is another thread's. The last thing that
    /// the caller does with this.
    void come_back() noexcept;

 private:
    static void arrived(posted& message, end how);

    scheduler* home_ = nullptr;
    const std::shared_ptr<mailbox>* box_ = nullptr;  // the loop's own: it stays while a task waits
};

/// A task in a shared line.
template <class Place = shared_place>
class task_in_line : public loop_wait, public Place {
 public:
    template <class... Args>
    explicit task_in_line(const wait_kind& what, Args&&... args)
        : loop_wait(what), Place(&task_in_line::told, std::forward<Args>(args)...) {}
    /// Pre: not awaited yet.
    task_in_line(task_in_line&& other) noexcept
        : loop_wait(static_cast<loop_wait&&>(other)),
          Place(&task_in_line::told, static_cast<Place&&>(other)) {}

 private:
    static void told(shared_place& place) noexcept {
        static_cast<task_in_line&>(place).come_back();
    }
};

/// A thread's wait, asleep in the kernel.
class LARIAT_EXPORT thread_wait {
 public:
    thread_wait() noexcept = default;
    thread_wait(const thread_wait&) = delete;
    thread_wait& operator=(const thread_wait&) = delete;

 protected:
    /// False if `until` came before the end of the wait.
    [[nodiscard]] bool sleep(time_point until) noexcept;
    /// Ends the wait. Any thread; the last thing that it does with this.
    void wake() noexcept;

 private:
    enum : std::uint32_t { is_awake, is_asleep, is_over };
    std::atomic<std::uint32_t> state_{is_awake};
};

/// A thread in a shared line.
template <class Place = shared_place>
class thread_in_line : public Place, private thread_wait {
 public:
    template <class... Args>
    explicit thread_in_line(Args&&... args)
        : Place(&thread_in_line::told, std::forward<Args>(args)...) {}

    /// Waits until it was served. False if `until` came first: then `leave(place)` took it out.
    template <class Leave>
    [[nodiscard]] bool wait(time_point until, Leave leave) noexcept {
        if (sleep(until)) return true;
        if (leave(static_cast<Place&>(*this))) return false;
        return sleep(forever);  // served at the last moment; it is being told
    }

 private:
    static void told(shared_place& place) noexcept { static_cast<thread_in_line&>(place).wake(); }
};

/// Stops the program when a loop runs on this thread: blocking would stop all of its tasks.
/// `instead` is what a task writes.
LARIAT_EXPORT void require_no_loop(const char* verb, const char* instead,
                                   std::source_location where) noexcept;

/// The deadline of a wait that begins now.
[[nodiscard]] inline time_point deadline_after(duration length) noexcept {
    return saturating_add(clock::now(), length);
}

}  // namespace lariat::detail
