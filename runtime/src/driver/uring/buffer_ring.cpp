#include "driver/uring/buffer_ring.hpp"

#include "driver/lent_sizes.hpp"
#include "driver/uring/abi.hpp"
#include "driver/uring/ring.hpp"

#include <lariat/base/assert.hpp>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include <liburing.h>
#include <sys/mman.h>

namespace lariat::detail {

namespace {

constexpr std::uint16_t group = 0;
/// A whole buffer for each receive: large enough for a burst, small enough for many receivers.
constexpr std::uint32_t whole_buffer_bytes = 16 * 1024;

/// `extra` are flags of mmap(2). Returns nullptr when refused.
void* map_private(std::size_t bytes, int extra) noexcept {
    void* memory =
        ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | extra, -1, 0);
    return memory == MAP_FAILED ? nullptr : memory;
}

}  // namespace

buffer_ring::buffer_ring(ring& kernel, const driver_options& options) : kernel_(&kernel) {
    if (!kernel.has(uring_feature::buffer_ring) || !kernel.has(uring_feature::multishot_recv))
        return;
    incremental_ = kernel.has(uring_feature::incremental_buffers);
    size(options);
    buffers_.reserve(count_);
    void* entries = map_private(count_ * sizeof(io_uring_buf), 0);
    if (entries == nullptr)
        throw std::system_error(errno, std::system_category(), "mmap of the buffer ring");
    ::madvise(entries, count_ * sizeof(io_uring_buf), MADV_DONTFORK);
    io_uring_buf_reg registration{};
    registration.ring_addr = reinterpret_cast<std::uintptr_t>(entries);
    registration.ring_entries = count_;
    registration.bgid = group;
    registration.pad = incremental_ ? abi::buffer_ring_incremental : std::uint16_t{0};
    memory_ = static_cast<std::byte*>(map_private(std::size_t{bytes_} * count_, MAP_NORESERVE));
    const int refused =
        memory_ == nullptr ? -errno : ::io_uring_register_buf_ring(&kernel.raw(), &registration, 0);
    if (refused != 0) {
        ::munmap(entries, count_ * sizeof(io_uring_buf));
        if (memory_ == nullptr)
            throw std::system_error(-refused, std::system_category(), "mmap of lent buffers");
        return;
    }
    entries_ = static_cast<::io_uring_buf_ring*>(entries);
    ::io_uring_buf_ring_init(entries_);
}

void buffer_ring::size(const driver_options& options) noexcept {
    const lent_sizes wanted(options);
    bytes_ = wanted.bytes;
    count_ = wanted.count;
    if (incremental_ || bytes_ <= whole_buffer_bytes) return;
    const std::uint64_t pieces = std::uint64_t{count_} * (bytes_ / whole_buffer_bytes);
    count_ = static_cast<std::uint32_t>(std::min<std::uint64_t>(pieces, lent_sizes::most_count));
    bytes_ = whole_buffer_bytes;
}

buffer_ring::~buffer_ring() {
    if (entries_ != nullptr) {
        ::io_uring_unregister_buf_ring(&kernel_->raw(), group);
        ::munmap(entries_, count_ * sizeof(io_uring_buf));
    }
    if (memory_ != nullptr) ::munmap(memory_, std::size_t{bytes_} * count_);
}

void buffer_ring::keep_stock() noexcept {
    while (offered_ < stock_ && buffers_.size() < count_) {
        buffers_.emplace_back();  // within what was reserved
        offer(static_cast<std::uint16_t>(buffers_.size() - 1));
    }
}

void buffer_ring::offer(std::uint16_t index) noexcept {
    buffers_[index] = {.used = 0, .leases = 0, .offered = true};
    ::io_uring_buf_ring_add(entries_, memory_ + std::size_t{index} * bytes_, bytes_, index,
                            static_cast<int>(count_ - 1), 0);
    ::io_uring_buf_ring_advance(entries_, 1);
    ++offered_;
}

lent_piece buffer_ring::filled(std::uint16_t index, std::uint32_t bytes) noexcept {
    buffer& from = buffers_[index];
    lent_piece piece;
    if (bytes != 0) {
        piece = {memory_ + std::size_t{index} * bytes_ + from.used, index + 1U};
        from.used += bytes;
        ++from.leases;
        ++leases_;
    }
    // Counted here and not read from F_BUF_MORE, which may also be missing at the end of a stream,
    // where the kernel goes on with the same buffer (liburing #1545).
    if (!incremental_ || from.used == bytes_) {
        from.offered = false;
        --offered_;
        if (from.leases == 0) offer(index);
        keep_stock();
    }
    return piece;
}

void buffer_ring::give_back(std::uint32_t name) noexcept {
    require(name - 1 < buffers_.size() && buffers_[name - 1].leases != 0,
            "a lent buffer is given back once for each completion that lent it");
    buffer& back = buffers_[name - 1];
    --leases_;
    if (--back.leases == 0 && !back.offered) offer(static_cast<std::uint16_t>(name - 1));
}

}  // namespace lariat::detail
