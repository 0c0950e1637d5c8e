#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>
#include <utility>

namespace lariat {

namespace detail {
template <class T>
concept byte_like = std::is_same_v<T, char> || std::is_same_v<T, unsigned char> ||
                    std::is_same_v<T, signed char> || std::is_same_v<T, std::byte>;

/// A contiguous range of bytes: an array, vector, string, string_view, span...
template <class Range>
concept byte_range = requires(Range& range) {
    { range.data() } -> std::convertible_to<const void*>;
    { range.size() } -> std::convertible_to<std::size_t>;
    requires byte_like<std::remove_cvref_t<decltype(*range.data())>>;
};
}  // namespace detail

/// Bytes to be sent, of any byte-like range. Borrows them: they stay until the verb has ended.
class bytes {
 public:
    constexpr bytes() noexcept = default;
    constexpr bytes(const void* start, std::size_t count) noexcept : data_(start), size_(count) {}
    constexpr bytes(const char* text) noexcept : bytes(std::string_view(text)) {}
    template <detail::byte_range Range>
    constexpr bytes(const Range& range) noexcept : data_(range.data()), size_(range.size()) {}

    [[nodiscard]] constexpr const std::byte* data() const noexcept {
        return static_cast<const std::byte*>(data_);
    }
    [[nodiscard]] constexpr std::size_t size() const noexcept { return size_; }
    [[nodiscard]] constexpr bool empty() const noexcept { return size_ == 0; }
    [[nodiscard]] constexpr bytes after(std::size_t count) const noexcept {
        return {data() + count, size_ - count};
    }
    [[nodiscard]] std::string_view text() const noexcept {
        return {static_cast<const char*>(data_), size_};
    }

 private:
    const void* data_ = nullptr;
    std::size_t size_ = 0;
};

/// Room to receive into, of any byte-like range. Borrows it: it stays until the verb has ended.
class mutable_bytes {
 public:
    constexpr mutable_bytes() noexcept = default;
    constexpr mutable_bytes(void* start, std::size_t count) noexcept : data_(start), size_(count) {}
    template <detail::byte_range Range>
        requires(!std::is_const_v<std::remove_pointer_t<decltype(std::declval<Range&>().data())>>)
    constexpr mutable_bytes(Range&& range) noexcept : data_(range.data()), size_(range.size()) {}

    [[nodiscard]] constexpr std::byte* data() const noexcept {
        return static_cast<std::byte*>(data_);
    }
    [[nodiscard]] constexpr std::size_t size() const noexcept { return size_; }
    [[nodiscard]] constexpr mutable_bytes after(std::size_t count) const noexcept {
        return {data() + count, size_ - count};
    }

 private:
    void* data_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace lariat
