#include "driver/uring/ring.hpp"

#include "driver/uring/abi.hpp"
#include "driver/uring/deny_list.hpp"

#include <lariat/base/assert.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>

#include <liburing.h>

namespace lariat::detail {

namespace {

constexpr std::uint32_t bit(uring_feature feature) noexcept {
    return static_cast<std::uint32_t>(feature);
}

/// What 5.15 has and the driver does not do without.
constexpr std::uint32_t needed_features = IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP |
                                          IORING_FEAT_SUBMIT_STABLE | IORING_FEAT_RW_CUR_POS |
                                          IORING_FEAT_FAST_POLL | IORING_FEAT_EXT_ARG |
                                          IORING_FEAT_NATIVE_WORKERS;

struct setup_flag {
    uring_feature feature;
    std::uint32_t flags;
};
/// In the order in which they are given up, newest first: a kernel answers EINVAL to any flag it
/// does not know, and does not say which.
constexpr std::array droppable{
    setup_flag{uring_feature::defer_taskrun, IORING_SETUP_DEFER_TASKRUN},
    setup_flag{uring_feature::single_issuer, IORING_SETUP_SINGLE_ISSUER},
    setup_flag{uring_feature::coop_taskrun, IORING_SETUP_COOP_TASKRUN},
    setup_flag{uring_feature::submit_all, IORING_SETUP_SUBMIT_ALL},
};

std::uint32_t setup_flags(std::uint32_t features) noexcept {
    std::uint32_t flags = IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE;
    // DEFER_TASKRUN needs SINGLE_ISSUER and replaces COOP_TASKRUN; TASKRUN_FLAG goes with either.
    if ((features & bit(uring_feature::single_issuer)) == 0)
        features &= ~bit(uring_feature::defer_taskrun);
    if ((features & bit(uring_feature::defer_taskrun)) != 0)
        features &= ~bit(uring_feature::coop_taskrun);
    for (const setup_flag& each : droppable)
        if ((features & bit(each.feature)) != 0) flags |= each.flags;
    if ((flags & (IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_COOP_TASKRUN)) != 0)
        flags |= IORING_SETUP_TASKRUN_FLAG;
    return flags;
}

std::uint32_t features_of(std::uint32_t flags) noexcept {
    std::uint32_t features = 0;
    for (const setup_flag& each : droppable)
        if ((flags & each.flags) != 0) features |= bit(each.feature);
    return features;
}

bool worth_a_retry(int code) noexcept {
    return code == -EAGAIN || code == -EBUSY || code == -EINTR || code == -ETIME;
}

[[noreturn]] void enter_failed(int code, bool owner) noexcept {
    // The kernel says EEXIST or, of a registered descriptor, EINVAL.
    if (!owner) rule_broken("a loop's driver is used by the one thread that made it");
    if (code == -EBADR)
        rule_broken(
            "io_uring dropped completions for want of kernel memory (EBADR); operations that wait "
            "for them own memory the kernel may still write: no going on");
    std::array<char, 160> words{};
    std::snprintf(words.data(), words.size(), "io_uring_enter of a live ring: %s",
                  std::strerror(-code));
    rule_broken(words.data());
}

__kernel_timespec to_timespec(duration length) noexcept {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(length);
    return {.tv_sec = seconds.count(), .tv_nsec = (length - seconds).count()};
}

}  // namespace

int system_enter(void*, int fd, std::uint32_t to_submit, std::uint32_t min_complete,
                 std::uint32_t flags, const void* argument, std::size_t argument_bytes) noexcept {
    // liburing passes the argument through; its type is from before EXT_ARG.
    auto* opaque = static_cast<sigset_t*>(const_cast<void*>(argument));
    return ::io_uring_enter2(static_cast<unsigned>(fd), to_submit, min_complete, flags, opaque,
                             argument_bytes);
}

void ring::closer::operator()(::io_uring* closing) const noexcept {
    ::io_uring_queue_exit(closing);
    delete closing;
}

ring::ring(const driver_options& options, const uring_seam& seam) : seam_(seam) {
    set_up(options);
    map_queues();
    probe_operations(options.uring_features);
    probe_enter(options.uring_features);
}

ring::~ring() = default;

void ring::set_up(const driver_options& options) {
    const std::uint32_t submissions = std::max<std::uint32_t>(options.submission_entries, 1);
    std::uint32_t allowed = options.uring_features;
    auto made = std::make_unique<::io_uring>();
    io_uring_params params{};
    std::size_t dropped = 0;
    int code = 0;
    for (;;) {
        params = {};
        params.flags = setup_flags(allowed);
        params.cq_entries = std::max(options.completion_entries, submissions);
        code = ::io_uring_queue_init_params(submissions, made.get(), &params);
        if (code != -EINVAL || dropped == droppable.size()) break;
        allowed &= ~bit(droppable[dropped++].feature);
    }
    if (code < 0) throw std::system_error(-code, std::system_category(), "io_uring_setup");
    ring_.reset(made.release());
    kernel_features_ = params.features;
    features_ = features_of(params.flags);
    if ((kernel_features_ & needed_features) != needed_features)
        throw std::system_error(ENOSYS, std::system_category(),
                                "io_uring_setup: this io_uring is older than Linux 5.15's");
    // A forked child that submitted would feed the parent's ring.
    if (const int refused = ::io_uring_ring_dontfork(ring_.get()); refused < 0)
        throw std::system_error(-refused, std::system_category(), "io_uring_ring_dontfork");
}

void ring::map_queues() noexcept {
    const io_uring_sq& submissions = ring_->sq;
    sq_head_ = submissions.khead;
    sq_tail_ = submissions.ktail;
    sq_flags_ = submissions.kflags;
    sqes_ = submissions.sqes;
    sq_mask_ = submissions.ring_mask;
    sq_entries_ = submissions.ring_entries;
    // Slot n always names entry n: the indirection is set up once and never written again.
    for (std::uint32_t slot = 0; slot < sq_entries_; ++slot) submissions.array[slot] = slot;
    const io_uring_cq& completions = ring_->cq;
    cq_head_ = completions.khead;
    cq_tail_ = completions.ktail;
    cqes_ = completions.cqes;
    cq_mask_ = completions.ring_mask;
}

void ring::probe_operations(std::uint32_t allowed) {
    std::unique_ptr<io_uring_probe, void (*)(io_uring_probe*)> probe(
        ::io_uring_get_probe_ring(ring_.get()), ::io_uring_free_probe);
    if (probe == nullptr)
        throw std::system_error(ENOSYS, std::system_category(), "io_uring_register: probe");
    // Multishot flags and buffer rings cannot be asked for; an operation of the same release can.
    std::uint32_t found = 0;
    if (::io_uring_opcode_supported(probe.get(), IORING_OP_SOCKET) != 0)  // 5.19
        found |= bit(uring_feature::multishot_accept) | bit(uring_feature::buffer_ring);
    if (::io_uring_opcode_supported(probe.get(), IORING_OP_SEND_ZC) != 0)  // 6.0
        found |= bit(uring_feature::multishot_recv);
    if (::io_uring_opcode_supported(probe.get(), IORING_OP_MKDIRAT) != 0)  // 5.15, the last of them
        found |= bit(uring_feature::file_operations);
    if (::io_uring_opcode_supported(probe.get(), abi::op_ftruncate) != 0)
        found |= bit(uring_feature::truncate);
    if (::io_uring_opcode_supported(probe.get(), abi::op_futex_wait) != 0)
        found |= bit(uring_feature::futex);
    // 6.12 has them, but before 687b2bae0eff in 6.15 the last completion of a multishot could be
    // reported behind later ones, of other receives into the same buffer; and places in that buffer
    // are told by the order alone. Some 6.12 to 6.14 took it over: they are not asked. (liburing
    // #1409, #1411 and #1423 are another bug, of bundles, which are not used here.)
    if ((kernel_features_ & abi::feature_no_iowait) != 0)
        found |= bit(uring_feature::incremental_buffers);
    features_ |= found & allowed & ~denied_features();
    skips_success_ = (kernel_features_ & IORING_FEAT_CQE_SKIP) != 0;  // 5.17
}

void ring::probe_enter(std::uint32_t allowed) noexcept {
    enter_fd_ = ring_->ring_fd;
    event_flags_ = IORING_ENTER_GETEVENTS;
    if ((allowed & bit(uring_feature::registered_ring)) != 0 &&
        ::io_uring_register_ring_fd(ring_.get()) == 1) {
        enter_fd_ = ring_->enter_ring_fd;
        enter_flags_ |= IORING_ENTER_REGISTERED_RING;
        features_ |= bit(uring_feature::registered_ring);
    }
    if ((allowed & bit(uring_feature::no_iowait)) != 0 &&
        (kernel_features_ & abi::feature_no_iowait) != 0) {
        event_flags_ |= abi::enter_no_iowait;
        features_ |= bit(uring_feature::no_iowait);
    }
    const std::uint32_t trial = enter_flags_ | event_flags_ | abi::enter_absolute_timer;
    absolute_timer_ = seam_.enter(seam_.enter_context, enter_fd_, 0, 0, trial, nullptr, 0) == 0;
}

io_uring_sqe* ring::next_entry() noexcept {
    if (unsubmitted() == sq_entries_) return nullptr;
    io_uring_sqe* entry = &sqes_[sq_next_++ & sq_mask_];
    std::memset(entry, 0, sizeof *entry);
    return entry;
}

std::uint32_t ring::unsubmitted() const noexcept {
    // Relaxed: without SQPOLL the kernel moves the head inside our own enter alone.
    return sq_next_ - std::atomic_ref(*sq_head_).load(std::memory_order_relaxed);
}

bool ring::kernel_holds_completions() const noexcept {
    return (std::atomic_ref(*sq_flags_).load(std::memory_order_relaxed) &
            (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

bool ring::overflowed() const noexcept {
    return (std::atomic_ref(*sq_flags_).load(std::memory_order_relaxed) & IORING_SQ_CQ_OVERFLOW) !=
           0;
}

bool ring::take_completion(std::uint32_t tail, completion& out) noexcept {
    if (cq_next_ == tail) return false;
    const io_uring_cqe& entry = cqes_[cq_next_ & cq_mask_];
    out = {entry.user_data, entry.res, entry.flags};
    std::atomic_ref(*cq_head_).store(++cq_next_, std::memory_order_release);  // read before reused
    return true;
}

void ring::show_entries(std::uint32_t count) noexcept {
    for (std::uint32_t at = sq_next_ - count; at != sq_next_; ++at)
        seam_.entry(sqes_[at & sq_mask_]);
}

int ring::enter(std::uint32_t to_submit, std::uint32_t min_complete, bool events,
                time_point until) noexcept {
    std::uint32_t flags = enter_flags_ | (events ? event_flags_ : 0);
    io_uring_getevents_arg argument{};
    __kernel_timespec deadline{};
    const bool timed = min_complete != 0 && until != forever;
    if (timed) {
        flags |= IORING_ENTER_EXT_ARG;
        if (absolute_timer_) flags |= abi::enter_absolute_timer;
        deadline = to_timespec(absolute_timer_ ? until.time_since_epoch()
                                               : std::max(until - clock::now(), duration::zero()));
        argument.ts = reinterpret_cast<std::uintptr_t>(&deadline);
    }
    if (seam_.entry != nullptr) [[unlikely]]
        show_entries(to_submit);
    std::atomic_ref(*sq_tail_).store(sq_next_, std::memory_order_release);
    ++enters_;
    const int code = seam_.enter(seam_.enter_context, enter_fd_, to_submit, min_complete, flags,
                                 timed ? &argument : nullptr, timed ? sizeof argument : 0);
    if (code < 0 && !worth_a_retry(code)) [[unlikely]]
        enter_failed(code, owner_ == std::this_thread::get_id());
    return code;
}

void ring::abandon() noexcept {
    ::close(ring_->ring_fd);
    delete ring_.release();
}

}  // namespace lariat::detail
