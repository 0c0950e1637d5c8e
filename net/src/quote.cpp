#include "quote.hpp"

#include <cstddef>

namespace lariat::detail {

std::string quote(std::string_view text) {
    constexpr std::size_t limit = 200;
    constexpr std::string_view digits = "0123456789abcdef";
    std::string out = "\"";
    for (const char letter : text.substr(0, limit)) {
        const auto byte = static_cast<unsigned char>(letter);
        if (byte >= 0x20 && byte < 0x7f) {
            if (letter == '"' || letter == '\\') out += '\\';
            out += letter;
        } else {
            out += "\\x";
            out += digits[byte >> 4];
            out += digits[byte & 15];
        }
    }
    out += text.size() > limit ? "...\"" : "\"";
    return out;
}

}  // namespace lariat::detail
