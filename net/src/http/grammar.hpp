#pragma once

#include <algorithm>
#include <string_view>

namespace lariat::http::detail {

/// RFC 9110 section 5.6.2: what a method or a header's name may be made of.
[[nodiscard]] inline bool is_token(std::string_view text) noexcept {
    constexpr std::string_view marks = "!#$%&'*+-.^_`|~";
    const auto in_token = [&](char letter) {
        return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
               (letter >= '0' && letter <= '9') || marks.find(letter) != std::string_view::npos;
    };
    return !text.empty() && std::ranges::all_of(text, in_token);
}

/// RFC 9110 section 5.5: a header's value has no control character but the tab.
[[nodiscard]] inline bool is_in_value(char letter) noexcept {
    const auto byte = static_cast<unsigned char>(letter);
    return letter == '\t' || (byte >= 0x20 && byte != 0x7f);
}

[[nodiscard]] inline std::string_view trimmed(std::string_view text) noexcept {
    const auto first = text.find_first_not_of(" \t");
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

}  // namespace lariat::http::detail
