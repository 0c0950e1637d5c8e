#pragma once

#include <lariat/net/buffer.hpp>
#include <lariat/net/verb.hpp>
#include <lariat/task/nothrow.hpp>
#include <lariat/task/task.hpp>

#include <array>
#include <cstddef>
#include <span>
#include <string>

namespace lariat {

/// Collects small writes and sends them together.
///
/// Order        bytes go in the order of writing; one task writes at a time
/// Lifetime     borrows the stream. Destroyed with bytes unsent it drops them: flush() first
/// Allocation   one buffer of `capacity` bytes
/// Errors       the stream's. A write or flush that was cut short after part had gone breaks the
///              stream
template <class Stream>
class buffered_writer {
 public:
    explicit buffered_writer(Stream& stream, std::size_t capacity = 16 * 1024)
        : stream_(&stream), capacity_(capacity) {
        held_.reserve(capacity_);
    }

    /// Keeps the bytes, or sends them with what was kept once the buffer is full. Borrows `data`
    /// until it has ended.
    [[nodiscard]] verb<void> write(bytes data) { return {put(data), "writing"}; }
    /// Sends what was kept.
    [[nodiscard]] verb<void> flush() { return {send_held(), "flushing"}; }
    /// How many bytes are kept.
    [[nodiscard]] std::size_t buffered() const noexcept { return held_.size(); }

 private:
    task<result<void>> put(bytes data) {
        if (held_.size() + data.size() <= capacity_) {
            held_.append(data.text());
            co_return result<void>();
        }
        // One gathered write: what was kept and what is new, without joining them.
        const std::array<bytes, 2> both{bytes(held_), data};
        const std::span<const bytes> parts(both);
        auto sending = stream_->write_all(parts);
        const result<void> sent = co_await nothrow(std::move(sending));
        if (sent) held_.clear();
        co_return sent;
    }

    task<result<void>> send_held() {
        auto sending = stream_->write_all(bytes(held_));
        const result<void> sent = co_await nothrow(std::move(sending));
        if (sent) held_.clear();
        co_return sent;
    }

    Stream* stream_;
    std::size_t capacity_;
    std::string held_;
};

}  // namespace lariat
