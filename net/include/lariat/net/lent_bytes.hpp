#pragma once

#include <lariat/net/buffer.hpp>
#include <lariat/net/stream_state.hpp>

#include <string_view>

namespace lariat {

/// Received bytes where the kernel put them, lent until this object goes: no copy was made.
///
/// Threads      the loop's own
/// Lifetime     may outlive its stream. A loop that closes first leaves a copy of the bytes here,
///              elsewhere in memory: views of them end; without memory for it none are left
/// Allocation   none, but for that copy
/// Limits       holds a part of a buffer that other connections receive into: give it back soon
class LARIAT_EXPORT lent_bytes : private detail::io_object {
 public:
    /// No bytes: the end of the stream.
    lent_bytes() noexcept;
    explicit lent_bytes(const detail::segment& taken) noexcept;
    lent_bytes(lent_bytes&& other) noexcept;
    lent_bytes& operator=(lent_bytes&& other) noexcept;
    ~lent_bytes() { release(); }

    [[nodiscard]] std::byte* data() const noexcept { return held_.data; }
    [[nodiscard]] std::size_t size() const noexcept { return held_.size; }
    [[nodiscard]] bool empty() const noexcept { return held_.size == 0; }
    /// True while there are bytes: `while (auto chunk = co_await stream.receive())`.
    [[nodiscard]] explicit operator bool() const noexcept { return !empty(); }
    [[nodiscard]] std::string_view text() const noexcept {
        return {reinterpret_cast<const char*>(held_.data), held_.size};
    }

 private:
    void release() noexcept;
    void take(lent_bytes& other) noexcept;
    static void loop_closes(detail::io_object& self) noexcept;

    detail::segment held_;
};

}  // namespace lariat
