#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

namespace lariat::detail {

using digest = std::array<std::byte, 32>;

/// What both ends sign: a random number of either.
struct challenge {
    digest managers;
    digest users;
};

/// Whether this library was built with libcrypto.
[[nodiscard]] bool can_sign() noexcept;
/// HMAC-SHA256 of `who` and the challenge. Errors: std::runtime_error. Pre: can_sign().
[[nodiscard]] digest sign(const std::string& key, std::string_view who, const challenge& of);
/// In a time that does not tell where they differ.
[[nodiscard]] bool same(const digest& one, const digest& other) noexcept;

}  // namespace lariat::detail
