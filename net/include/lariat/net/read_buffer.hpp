#pragma once

#include <lariat/net/buffer.hpp>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

namespace lariat::detail {

/// Bytes read ahead: filled at the back, taken from the front.
class read_buffer {
 public:
    static constexpr std::size_t first_bytes = 4 * 1024;

    read_buffer() noexcept = default;
    read_buffer(read_buffer&& other) noexcept { swap(other); }
    read_buffer& operator=(read_buffer&& other) noexcept {
        read_buffer taken(std::move(other));
        swap(taken);
        return *this;
    }
    ~read_buffer() = default;

    [[nodiscard]] std::size_t size() const noexcept { return end_ - begin_; }
    [[nodiscard]] std::string_view text() const noexcept { return {data_.data() + begin_, size()}; }

    /// Room for at least `wanted` bytes, the buffer as a whole growing to at most `most` (or what
    /// is wanted). Moves what is there: views end. One that is empty and larger is given up.
    [[nodiscard]] mutable_bytes room(std::size_t wanted, std::size_t most) {
        if (size() == 0 && data_.size() > std::max({wanted, most, first_bytes}))
            data_ = std::string();
        if (data_.size() - end_ < wanted && begin_ != 0) {
            std::memmove(data_.data(), data_.data() + begin_, size());
            end_ -= begin_;
            begin_ = 0;
        }
        if (data_.size() - end_ < wanted)
            grow(std::max(wanted + end_, std::min(most, data_.size() * 2)));
        return {data_.data() + end_, data_.size() - end_};
    }
    void fill(std::size_t count) noexcept { end_ += count; }
    void drop(std::size_t count) noexcept {
        begin_ += count;
        if (begin_ == end_) begin_ = end_ = 0;
    }
    std::size_t take(mutable_bytes room) noexcept {
        const std::size_t count = std::min(room.size(), size());
        std::memcpy(room.data(), data_.data() + begin_, count);
        drop(count);
        return count;
    }

    /// All of it, in the memory where it lies.
    [[nodiscard]] std::string take_all() noexcept {
        read_buffer taken(std::move(*this));
        taken.data_.resize(taken.end_);
        taken.data_.erase(0, taken.begin_);
        return std::move(taken.data_);
    }
    /// The first `count` bytes of `back` are what is read next, in the memory where they lie. Pre:
    /// it is empty.
    void adopt(std::string back, std::size_t count) noexcept {
        data_ = std::move(back);
        begin_ = 0;
        end_ = count;
    }

 private:
    void grow(std::size_t capacity) {
        std::string larger;
        larger.resize(std::max(capacity, first_bytes));
        const std::size_t count = text().copy(larger.data(), size());
        adopt(std::move(larger), count);
    }
    void swap(read_buffer& other) noexcept {
        data_.swap(other.data_);
        std::swap(begin_, other.begin_);
        std::swap(end_, other.end_);
    }

    std::string data_;  ///< its size is the room there is
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
};

}  // namespace lariat::detail
