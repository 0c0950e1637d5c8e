#pragma once

#include <liburing.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <system_error>
#include <vector>

namespace floor_server {

// Not in liburing 2.3: values of Linux 6.12's <linux/io_uring.h>.
inline constexpr std::uint16_t pbuf_ring_incremental = 2;      // IOU_PBUF_RING_INC
inline constexpr std::uint32_t cqe_buffer_has_more = 1U << 4;  // IORING_CQE_F_BUF_MORE

/// Large receive buffers that the kernel fills piece by piece, for whoever receives next
/// (IOU_PBUF_RING_INC, Linux 6.12). A buffer goes back to the kernel when it has said that it is
/// full and all pieces lent from it are returned.
class buffer_ring {
 public:
    struct piece {
        char* data = nullptr;
        std::uint32_t length = 0;
        std::uint16_t buffer = 0;
    };

    /// Pre: `count` is a power of two.
    buffer_ring(io_uring& ring, std::uint16_t group, std::uint16_t count, std::size_t bytes)
        : bytes_(bytes), mask_(io_uring_buf_ring_mask(count)), states_(count) {
        const std::size_t table = count * sizeof(io_uring_buf);
        entries_ = static_cast<io_uring_buf_ring*>(map(table));
        memory_ = static_cast<char*>(map(count * bytes));
        io_uring_buf_reg registration{};
        registration.ring_addr = reinterpret_cast<std::uintptr_t>(entries_);
        registration.ring_entries = count;
        registration.bgid = group;
        registration.pad = pbuf_ring_incremental;  // the field is called flags in later headers
        const int error = io_uring_register_buf_ring(&ring, &registration, 0);
        if (error < 0) throw std::system_error(-error, std::generic_category(), "buffer ring");
        io_uring_buf_ring_init(entries_);
        for (std::uint16_t buffer = 0; buffer < count; ++buffer) provide(buffer);
    }
    buffer_ring(buffer_ring&&) = delete;

    /// The bytes a completion brought; they are lent until give_back().
    [[nodiscard]] piece take(const io_uring_cqe& completion) noexcept {
        const auto buffer = static_cast<std::uint16_t>(completion.flags >> IORING_CQE_BUFFER_SHIFT);
        state& which = states_[buffer];
        const auto length = static_cast<std::uint32_t>(completion.res);
        const piece taken{memory_ + buffer * bytes_ + which.filled, length, buffer};
        which.filled += length;
        ++which.lent;
        which.full = (completion.flags & cqe_buffer_has_more) == 0;
        return taken;
    }

    void give_back(const piece& returned) noexcept {
        state& which = states_[returned.buffer];
        if (--which.lent == 0 && which.full) provide(returned.buffer);
    }

 private:
    struct state {
        std::size_t filled = 0;
        std::uint32_t lent = 0;
        bool full = false;
    };

    static void* map(std::size_t bytes) {
        void* memory =
            mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) {
            throw std::system_error(errno, std::generic_category(), "mmap");
        }
        return memory;
    }

    void provide(std::uint16_t buffer) noexcept {
        states_[buffer] = state();
        io_uring_buf_ring_add(entries_, memory_ + buffer * bytes_, static_cast<unsigned>(bytes_),
                              buffer, mask_, 0);
        io_uring_buf_ring_advance(entries_, 1);
    }

    std::size_t bytes_;
    int mask_;
    std::vector<state> states_;
    io_uring_buf_ring* entries_ = nullptr;
    char* memory_ = nullptr;
};

}  // namespace floor_server
