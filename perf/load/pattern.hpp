#pragma once

#include <cstddef>
#include <cstring>
#include <random>
#include <vector>

namespace echo_load {

/// The bytes of every stream: random, repeating after a prime number of bytes, so that a shift by
/// any buffer's size is noticed. A stream is a position in it; both ends of a connection walk on.
class byte_pattern {
 public:
    static constexpr std::size_t period = 16381;
    static constexpr std::size_t longest =
        256 * 1024;  // bytes that lie in one piece at any position

    byte_pattern() : bytes_(period + longest) {
        std::mt19937 random(20'24);
        for (std::size_t i = 0; i < period; ++i) bytes_[i] = static_cast<char>(random());
        for (std::size_t i = period; i < bytes_.size(); ++i) bytes_[i] = bytes_[i - period];
    }

    [[nodiscard]] const char* at(std::size_t position) const noexcept { return &bytes_[position]; }

    /// Pre: length <= longest.
    [[nodiscard]] bool matches(std::size_t position, const char* data, std::size_t length) const {
        return std::memcmp(at(position), data, length) == 0;
    }

    static constexpr std::size_t advance(std::size_t position, std::size_t length) noexcept {
        return (position + length) % period;
    }

 private:
    std::vector<char> bytes_;
};

}  // namespace echo_load
