#pragma once

#include <cerrno>

namespace lariat::detail {

/// Makes a system call again for as long as signals interrupt it; errno is the last one's. Not for
/// close(2), which has closed all the same.
template <class Call>
auto uninterrupted(Call call) noexcept {
    for (;;) {
        const auto result = call();
        if (result >= 0 || errno != EINTR) return result;
    }
}

}  // namespace lariat::detail
