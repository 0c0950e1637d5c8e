#pragma once

#include <lariat/base/clock.hpp>
#include <lariat/driver/options.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>

struct io_uring;
struct io_uring_sqe;
struct io_uring_cqe;

namespace lariat::detail {

/// io_uring_enter(2) as the ring calls it; >= 0: entries taken, else a negated errno. Tests put
/// their own in its place and pass on what they do not refuse.
using enter_hook = int (*)(void* context, int fd, std::uint32_t to_submit,
                           std::uint32_t min_complete, std::uint32_t flags, const void* argument,
                           std::size_t argument_bytes) noexcept;
int system_enter(void* context, int fd, std::uint32_t to_submit, std::uint32_t min_complete,
                 std::uint32_t flags, const void* argument, std::size_t argument_bytes) noexcept;

/// Where tests take hold of the driver.
struct uring_seam {
    enter_hook enter = system_enter;
    void* enter_context = nullptr;
    /// Sees each entry before the kernel does (again if that refused it) and may change what it
    /// asks.
    void (*entry)(io_uring_sqe&) noexcept = nullptr;
    std::uint64_t drop_more_seed = 0;  ///< not 0: multishot ops end at random (early_end.hpp)

    uring_seam() {}
};

/// One io_uring instance: the two queues, mapped, and the one call that serves both. It knows
/// entries and numbers, not ops.
///
/// What the kernel lacks (or `uring_features` masks) is left out step by step; the floor is 5.15.
/// SINGLE_ISSUER with DEFER_TASKRUN is chosen over SQPOLL: no second thread, and completions are
/// only worked out when the loop asks, on its own core.
///
/// Threads      the one that made it
/// Lifetime     closing the descriptor makes the kernel drop what is in flight, in its own time
class ring {
 public:
    /// Errors: std::system_error when the kernel refuses, or lacks what 5.15 has.
    ring(const driver_options& options, const uring_seam& seam);
    ring(const ring&) = delete;
    ring& operator=(const ring&) = delete;
    ~ring();

    /// What is there and may be used; asked once, by trying and by REGISTER_PROBE.
    [[nodiscard]] bool has(uring_feature feature) const noexcept {
        return (features_ & static_cast<std::uint32_t>(feature)) != 0;
    }
    [[nodiscard]] bool skips_success() const noexcept { return skips_success_; }

    /// The next submission entry, zeroed, or nullptr when the queue is full.
    [[nodiscard]] io_uring_sqe* next_entry() noexcept;
    [[nodiscard]] std::uint32_t unsubmitted() const noexcept;

    /// The kernel has work to do before its completions are seen, or keeps some for want of room.
    [[nodiscard]] bool kernel_holds_completions() const noexcept;
    [[nodiscard]] bool overflowed() const noexcept;

    /// Hands over what was queued. Returns entries taken, or -EAGAIN, -EBUSY, -EINTR or (with
    /// a deadline) -ETIME; what was not taken stays queued. Anything else ends the program with its
    /// cause.
    int submit() noexcept { return enter(unsubmitted(), 0, false, no_wait); }
    /// As submit, and works out completions; waits for one until `until` unless it is `no_wait`.
    int submit_and_reap(time_point until) noexcept {
        return enter(unsubmitted(), until == no_wait ? 0 : 1, true, until);
    }
    /// Submits nothing.
    int reap_only(time_point until) noexcept { return enter(0, 1, true, until); }

    struct completion {
        std::uint64_t user_data;
        std::int32_t result;
        std::uint32_t flags;
    };
    [[nodiscard]] std::uint32_t completion_tail() const noexcept {
        return std::atomic_ref(*cq_tail_).load(std::memory_order_acquire);  // the kernel's release
    }
    [[nodiscard]] bool completions_ready() const noexcept { return cq_next_ != completion_tail(); }
    /// Takes the oldest unless `tail` is reached. The entry is the kernel's again at once: what is
    /// called for it may enter the kernel and finds the room.
    bool take_completion(std::uint32_t tail, completion& out) noexcept;

    [[nodiscard]] std::uint64_t entries_made() const noexcept { return enters_; }
    [[nodiscard]] ::io_uring& raw() noexcept { return *ring_; }
    /// In a forked child: lets go of the inherited descriptor and touches nothing else.
    void abandon() noexcept;

 private:
    struct closer {
        void operator()(::io_uring* closing) const noexcept;
    };

    void set_up(const driver_options& options);
    void map_queues() noexcept;
    void probe_operations(std::uint32_t allowed);
    void probe_enter(std::uint32_t allowed) noexcept;
    void show_entries(std::uint32_t count) noexcept;
    int enter(std::uint32_t to_submit, std::uint32_t min_complete, bool events,
              time_point until) noexcept;

    uring_seam seam_;
    std::unique_ptr<::io_uring, closer> ring_;
    std::uint32_t features_ = 0;
    std::uint32_t kernel_features_ = 0;
    std::uint32_t enter_flags_ = 0;  // those of every call
    std::uint32_t event_flags_ = 0;  // and of those that ask for completions
    int enter_fd_ = -1;
    std::thread::id owner_ = std::this_thread::get_id();
    bool skips_success_ = false;
    bool absolute_timer_ = false;

    std::uint32_t* sq_head_ = nullptr;
    std::uint32_t* sq_tail_ = nullptr;
    std::uint32_t* sq_flags_ = nullptr;
    io_uring_sqe* sqes_ = nullptr;
    std::uint32_t sq_mask_ = 0;
    std::uint32_t sq_entries_ = 0;
    std::uint32_t sq_next_ = 0;  // our end of the submission queue; published by enter

    std::uint32_t* cq_head_ = nullptr;
    std::uint32_t* cq_tail_ = nullptr;
    io_uring_cqe* cqes_ = nullptr;
    std::uint32_t cq_mask_ = 0;
    std::uint32_t cq_next_ = 0;  // our end of the completion queue
    std::uint64_t enters_ = 0;
};

}  // namespace lariat::detail
