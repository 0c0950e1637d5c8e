#pragma once

#include <lariat/net/buffer.hpp>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>

namespace lariat::detail {

/// Bytes read ahead: filled at the back, taken from the front.
class read_buffer {
 public:
    static constexpr std::size_t first_bytes = 4 * 1024;

    [[nodiscard]] std::size_t size() const noexcept { return end_ - begin_; }
    [[nodiscard]] std::string_view text() const noexcept { return {data_.get() + begin_, size()}; }

    /// Room for at least `wanted` bytes, the buffer as a whole growing to at most `most` (or what
    /// is wanted). Moves what is there: views end.
    [[nodiscard]] mutable_bytes room(std::size_t wanted, std::size_t most) {
        if (capacity_ - end_ < wanted && begin_ != 0) {
            std::memmove(data_.get(), data_.get() + begin_, size());
            end_ -= begin_;
            begin_ = 0;
        }
        if (capacity_ - end_ < wanted) grow(std::max(wanted + end_, std::min(most, capacity_ * 2)));
        return {data_.get() + end_, capacity_ - end_};
    }
    void fill(std::size_t count) noexcept { end_ += count; }
    void drop(std::size_t count) noexcept {
        begin_ += count;
        if (begin_ == end_) begin_ = end_ = 0;
    }
    std::size_t take(mutable_bytes room) noexcept {
        const std::size_t count = std::min(room.size(), size());
        std::memcpy(room.data(), data_.get() + begin_, count);
        drop(count);
        return count;
    }

 private:
    void grow(std::size_t capacity) {
        capacity = std::max(capacity, first_bytes);
        std::unique_ptr<char[]> larger(new char[capacity]);
        if (size() != 0) std::memcpy(larger.get(), data_.get() + begin_, size());
        end_ -= begin_;
        begin_ = 0;
        data_ = std::move(larger);
        capacity_ = capacity;
    }

    std::unique_ptr<char[]> data_;
    std::size_t capacity_ = 0;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
};

}  // namespace lariat::detail
