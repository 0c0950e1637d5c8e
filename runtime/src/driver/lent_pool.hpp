#pragma once

#include <lariat/base/assert.hpp>
#include <lariat/driver/options.hpp>

#include "driver/lent_piece.hpp"
#include "driver/lent_sizes.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <vector>

namespace lariat::detail {

/// The buffers a multishot receive fills, for drivers whose kernel side keeps none: receives share
/// the current buffer one after the other, as io_uring's incremental buffers are shared, so that a
/// connection owns memory only between its data's arrival and its return.
///
/// A buffer starts again from its beginning when its last lease comes back: a server that answers
/// at once keeps reading into the same, cached memory.
///
/// Allocation   one buffer at a time, on demand, kept until the end
/// Limits       `lent_buffer_count` buffers; then room() is empty
class lent_pool {
 public:
    using space = lent_space;

    explicit lent_pool(const driver_options& options) : lent_pool(lent_sizes(options)) {}
    explicit lent_pool(lent_sizes sizes) : bytes_(sizes.bytes), count_(sizes.count) {
        buffers_.reserve(count_);
        free_.reserve(count_);
    }

    /// Where the next receive may write. It stays the same until lend() or give_back().
    [[nodiscard]] space room() noexcept {
        if (current_ == none || left() < bytes_ / 4) renew();
        if (current_ == none) return {};
        return {buffers_[current_].memory.get() + buffers_[current_].used, left(), current_ + 1};
    }

    /// The first `bytes` of room() are now in a user's hands.
    void lend(std::uint32_t bytes) noexcept {
        buffers_[current_].used += bytes;
        ++buffers_[current_].leases;
        ++leases_;
    }

    /// Returns one lease. True: there may be room where there was none.
    bool give_back(std::uint32_t name) noexcept {
        require(name - 1 < buffers_.size() && buffers_[name - 1].leases > 0,
                "a lent buffer is given back once");
        buffer& back = buffers_[name - 1];
        --leases_;
        if (--back.leases > 0) return false;
        back.used = 0;
        if (name - 1 != current_) free_.push_back(name - 1);
        return true;
    }

    [[nodiscard]] std::uint64_t leases() const noexcept { return leases_; }

 private:
    struct buffer {
        std::unique_ptr<std::byte[]> memory;
        std::uint32_t used = 0;
        std::uint32_t leases = 0;
    };
    static constexpr std::uint32_t none = ~std::uint32_t{0};

    [[nodiscard]] std::uint32_t left() const noexcept { return bytes_ - buffers_[current_].used; }

    // Leaves the current buffer only for a better one: its last bytes are still worth filling. A
    // buffer left behind has leases (else it would be empty), so give_back() finds it again.
    void renew() noexcept {
        if (!free_.empty()) {
            current_ = free_.back();
            free_.pop_back();
        } else if (buffers_.size() < count_) {
            std::unique_ptr<std::byte[]> memory(new (std::nothrow) std::byte[bytes_]);
            if (memory != nullptr) {
                buffers_.push_back({std::move(memory)});
                current_ = static_cast<std::uint32_t>(buffers_.size()) - 1;
                return;
            }
        }
        if (current_ != none && left() == 0) current_ = none;
    }

    std::uint32_t bytes_;
    std::uint32_t count_;
    std::uint32_t current_ = none;
    std::uint64_t leases_ = 0;
    std::vector<buffer> buffers_;
    std::vector<std::uint32_t> free_;
};

}  // namespace lariat::detail
