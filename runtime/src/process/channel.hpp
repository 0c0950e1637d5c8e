#pragma once

#include <lariat/base/unique_fd.hpp>

#include <cstddef>
#include <initializer_list>
#include <span>
#include <vector>

namespace lariat::detail {

/// Two ends of a socket that keeps messages apart. Returns 0 or an errno.
[[nodiscard]] int make_channel(unique_fd& one, unique_fd& other) noexcept;

/// A piece of a message.
using bytes_view = std::span<const std::byte>;
template <class T>
[[nodiscard]] bytes_view bytes_of(const T& record) noexcept {
    return std::as_bytes(std::span<const T, 1>(&record, 1));
}

/// Sends one message, with copies of the descriptors; `wait`: also when that takes a while. Returns
/// 0 or an errno; SIGPIPE is never raised. Limits: 4 pieces.
[[nodiscard]] int send_message(int channel, std::initializer_list<bytes_view> pieces,
                               std::span<const int> descriptors, bool wait) noexcept;

/// The most descriptors that a message can bring.
inline constexpr std::size_t most_received = 253;  // SCM_MAX_FD, unix(7)

struct received {
    std::ptrdiff_t bytes = 0;       ///< 0: the other end has gone; negative: an errno, negated
    bool descriptors_lost = false;  ///< this process had no room for all of them
};

/// Takes one message. EAGAIN if there is none, unless it is to `wait`. Errors: std::bad_alloc, and
/// nothing was taken; not if `descriptors` has room for most_received.
[[nodiscard]] received receive_message(int channel, std::span<std::byte> room,
                                       std::vector<unique_fd>& descriptors, bool wait);

}  // namespace lariat::detail
