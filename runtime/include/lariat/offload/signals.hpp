#pragma once

#include <lariat/task/task.hpp>

#include <cstdint>
#include <initializer_list>

namespace lariat {

/// A set of signals to wait for. A value: copies wait for the same signals.
class LARIAT_EXPORT signals {
 public:
    signals() noexcept = default;
    template <class... Number>
        requires(sizeof...(Number) > 0 && (std::is_same_v<Number, int> && ...))
    explicit signals(Number... numbers) noexcept : set_(((std::uint64_t{1} << (numbers - 1)) | ...)) {}
    [[nodiscard]] bool empty() const noexcept { return set_ == 0; }
    [[nodiscard]] task<int> wait() const;

 private:
    std::uint64_t set_ = 0;
};

}  // namespace lariat
