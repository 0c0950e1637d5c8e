#pragma once

#include <lariat/base/clock.hpp>
#include <lariat/base/frame_allocator.hpp>
#include <lariat/base/result.hpp>
#include <lariat/base/unique_fd.hpp>
#include <lariat/loop/io.hpp>
#include <lariat/process/process_options.hpp>
#include <lariat/process/process_status.hpp>
#include <lariat/task/timer_queue.hpp>

#include "process/family.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <string>

namespace lariat::detail {

/// What this process knows of one that it started.
///
/// States       running -> ended (its end_record was read), or lost (the fork server is gone)
///              running -> watched (its handle went while a loop ran: that ends it) -> ended, lost
/// Invariant 1  while it is watched, the operation on the status socket is in flight, its loop's
///              run does not end, and the watch holds a reference
/// Invariant 2  the descriptors are open while it runs, and while anybody waits for them
/// Threads      any, but for the watch, which is its loop's
struct process_state : io_object, op, timer_entry {
    explicit process_state(const process_options& options) noexcept;
    ~process_state();
    static void* operator new(std::size_t bytes) { return allocate_frame(bytes); }
    static void operator delete(void* memory, std::size_t bytes) noexcept {
        deallocate_frame(memory, bytes);
    }

    /// Errors: see process::start; then it is to be dropped.
    void start(start_request& request);

    /// How it ended; empty while it runs. ECHILD: nobody knows. It counts as joined.
    [[nodiscard]] std::optional<lariat::result<process_status>> outcome();
    [[nodiscard]] bool is_over() noexcept;
    /// The descriptor to be waited for, which stays open until end_wait; -1: it has ended.
    [[nodiscard]] int begin_wait() noexcept;
    void end_wait() noexcept;
    /// Blocks until it has ended, or that moment: false.
    [[nodiscard]] bool wait_blocking(time_point until) noexcept;

    /// 0, or an errno: ESRCH if there is nobody to get it.
    [[nodiscard]] int signal(int number) noexcept;
    /// Its handle goes.
    void abandon() noexcept;
    /// It is to go on without a handle.
    void let_go() noexcept;

    void add_ref() noexcept { refs_.fetch_add(1, std::memory_order_relaxed); }
    void drop_ref() noexcept {
        if (refs_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
    }

    int pid = -1;
    std::string name;
    const duration grace;
    const bool daemon;

 private:
    enum class phase : std::uint8_t { running, ended, lost };

    void unlist() noexcept;
    void read_end() noexcept;
    void understand(const end_record& record, std::span<const std::byte> failure) noexcept;
    void close_unused() noexcept;
    void watch() noexcept;
    void end_by_waiting() noexcept;
    void ask_to_end() noexcept;
    void make_end() noexcept;
    void report_unjoined() noexcept;
    void report(const std::string& what) noexcept;
    static void noticed(op& done) noexcept;
    static void grace_over(timer_entry& self) noexcept;
    static void loop_closes(io_object& self) noexcept;

    std::mutex mutex_;
    unique_fd pidfd_;
    unique_fd status_;
    phase now_ = phase::running;
    process_status end_;
    std::uint32_t waiters_ = 0;
    bool joined_ = false;
    bool listed_ = false;
    std::atomic<std::uint32_t> refs_{1};
};

}  // namespace lariat::detail
