#include <lariat/net/http/url.hpp>

#include <lariat/net/address.hpp>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <optional>
#include <stdexcept>
#include <utility>

#include "quote.hpp"

namespace lariat::http {

namespace {

constexpr std::size_t longest_url = 16 * 1024;  // bytes; servers refuse far shorter ones
constexpr std::size_t longest_host = 253;       // letters; RFC 1035 section 2.3.4, as text

constexpr bool is_digit(char letter) noexcept { return letter >= '0' && letter <= '9'; }
constexpr char lower(char letter) noexcept {
    return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter + ('a' - 'A')) : letter;
}
constexpr bool is_letter(char letter) noexcept {
    return lower(letter) >= 'a' && lower(letter) <= 'z';
}
constexpr bool is_hex(char letter) noexcept {
    return is_digit(letter) || (lower(letter) >= 'a' && lower(letter) <= 'f');
}
std::string lowered(std::string_view text) {
    std::string out(text);
    std::ranges::transform(out, out.begin(), lower);
    return out;
}

/// The URL being read, for the message: a password in it must not reach a log.
std::string shown(std::string_view text) {
    const std::size_t slashes = text.find("//");
    const std::size_t start = slashes == std::string_view::npos ? 0 : slashes + 2;
    const std::size_t at = text.substr(0, text.find_first_of("/?#", start)).rfind('@');
    if (at == std::string_view::npos || at < start) return detail::quote(text);
    return detail::quote(std::string(text.substr(0, start)) + "***" + std::string(text.substr(at)));
}

[[noreturn]] void refuse(std::string_view text, const std::string& why) {
    throw std::invalid_argument("bad URL " + shown(text) + ": " + why);
}

/// RFC 3986 section 3, appendix B: the five parts; absent is not the same as empty.
struct reference {
    std::optional<std::string_view> scheme;
    std::optional<std::string_view> authority;
    std::string_view path;
    std::optional<std::string_view> query;
};

std::optional<std::string_view> take_scheme(std::string_view& rest) {
    const std::size_t colon = rest.find_first_of(":/?#");
    if (colon == std::string_view::npos || rest[colon] != ':' || colon == 0) return std::nullopt;
    const std::string_view scheme = rest.substr(0, colon);
    const auto in_scheme = [](char letter) {
        return is_letter(letter) || is_digit(letter) ||
               std::string_view("+-.").find(letter) != std::string_view::npos;
    };
    if (!is_letter(scheme.front()) || !std::ranges::all_of(scheme, in_scheme)) return std::nullopt;
    rest.remove_prefix(colon + 1);
    return scheme;
}

reference split(std::string_view text) {
    reference out;
    std::string_view rest = text.substr(0, text.find('#'));
    out.scheme = take_scheme(rest);
    if (rest.starts_with("//")) {
        rest.remove_prefix(2);
        const std::size_t end = std::min(rest.find_first_of("/?"), rest.size());
        out.authority = rest.substr(0, end);
        rest.remove_prefix(end);
    }
    const std::size_t question = rest.find('?');
    out.path = rest.substr(0, question);
    if (question != std::string_view::npos) out.query = rest.substr(question + 1);
    return out;
}

void check_letters(std::string_view text) {
    if (text.size() > longest_url)
        refuse(text, "it has " + std::to_string(text.size()) + " bytes, more than " +
                         std::to_string(longest_url));
    const auto has_no_place = [](char letter) { return letter <= ' ' || letter > '~'; };
    const auto wrong = std::ranges::find_if(text, has_no_place);
    if (wrong == text.end()) return;
    const std::string where = " at byte " + std::to_string(wrong - text.begin());
    const auto byte = static_cast<unsigned char>(*wrong);
    if (byte == ' ') refuse(text, "a space" + where + "; write %20");
    if (byte < ' ' || byte == 0x7f) refuse(text, "a control character" + where);
    refuse(text, "a letter outside of ASCII" + where + "; percent-encode it");
}

/// Beyond check_letters, only what a path or query is sure to be misread for is refused: servers
/// take brackets, bars and the like, and URLs in use have them.
void check_percents(std::string_view text, std::string_view part) {
    for (std::size_t i = part.find('%'); i != std::string_view::npos; i = part.find('%', i + 1)) {
        if (i + 2 < part.size() && is_hex(part[i + 1]) && is_hex(part[i + 2])) continue;
        refuse(text, "a % without two hexadecimal digits after it; write %25 for the sign itself");
    }
}

/// "127.1" and "0x7f.0.0.1" are addresses to some resolvers and names to others; neither here.
bool ends_in_a_number(std::string_view host) {
    if (host.ends_with('.')) host.remove_suffix(1);
    const std::string_view last = host.substr(host.rfind('.') + 1);
    if (last.starts_with("0x")) return std::ranges::all_of(last.substr(2), is_hex);
    return !last.empty() && std::ranges::all_of(last, is_digit);
}

std::string read_name(std::string_view text, std::string_view name) {
    if (name.empty()) refuse(text, "it has no host");
    if (name.size() > longest_host) refuse(text, "the host is longer than 253 letters");
    const auto in_name = [](char letter) {
        return is_letter(letter) || is_digit(letter) || letter == '-' || letter == '.' ||
               letter == '_';
    };
    if (!std::ranges::all_of(name, in_name))
        refuse(text, "the host " + detail::quote(name) + " has a letter no host name has");
    if (name.front() == '.' || name.find("..") != std::string_view::npos)
        refuse(text, "the host " + detail::quote(name) + " has an empty part");
    std::string host = lowered(name);
    if (!ends_in_a_number(host)) return host;
    try {
        return ip_address::parse(host).to_string();
    } catch (const std::invalid_argument&) {
        refuse(text, "the host " + detail::quote(name) + " is neither a name nor an IPv4 address");
    }
}

std::string read_v6(std::string_view text, std::string_view inside) {
    if (inside.find(':') == std::string_view::npos || inside.find('%') != std::string_view::npos)
        refuse(text, "the host [" + std::string(inside) + "] is not an IPv6 address");
    try {
        return ip_address::parse(inside).to_string();
    } catch (const std::invalid_argument&) {
        refuse(text, "the host [" + std::string(inside) + "] is not an IPv6 address");
    }
}

std::uint16_t read_port(std::string_view text, std::string_view digits, std::uint16_t otherwise) {
    if (digits.empty()) return otherwise;  // "http://host:/" is allowed (RFC 3986 section 3.2.3)
    std::uint16_t port = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (error != std::errc{} || end != digits.data() + digits.size() || port == 0)
        refuse(text, "the port " + detail::quote(digits) + " is not a number from 1 to 65535");
    return port;
}

/// RFC 3986 section 5.2.4, on an absolute path.
std::string without_dots(std::string_view path) {
    std::string out;
    while (!path.empty()) {
        const std::size_t end = std::min(path.find('/', 1), path.size());
        const std::string_view segment = path.substr(0, end);
        path.remove_prefix(end);
        const bool dots = segment == "/." || segment == "/..";
        if (segment == "/..") out.resize(std::min(out.size(), out.rfind('/')));
        if (!dots)
            out += segment;
        else if (path.empty())
            out += '/';
    }
    return out;
}

std::string percent_encoded(std::string_view text) {
    constexpr std::string_view digits = "0123456789ABCDEF";
    std::string out;
    for (const char letter : text) {
        const auto byte = static_cast<unsigned char>(letter);
        if (byte < 0x80) {
            out += letter;
            continue;
        }
        out += '%';
        out += digits[byte >> 4];
        out += digits[byte & 15];
    }
    return out;
}

}  // namespace

url url::parse(std::string_view text) {
    check_letters(text);
    const reference parts = split(text);
    url out;
    out.scheme_ = lowered(parts.scheme.value_or(""));
    if (out.scheme_ != "http" && out.scheme_ != "https")
        refuse(text, "it does not begin with http:// or https://");
    if (!parts.authority) refuse(text, "// is missing after " + out.scheme_ + ":");
    std::string_view host = *parts.authority;
    if (host.find('@') != std::string_view::npos)
        refuse(text, "a user or password in a URL is refused; send an Authorization header");
    const std::size_t closing = host.starts_with('[') ? host.find(']') : 0;
    if (closing == std::string_view::npos) refuse(text, "the host has a [ without ]");
    const std::size_t colon = host.find(':', closing);
    if (closing != 0 && closing + 1 != std::min(colon, host.size()))
        refuse(text, "something other than a port follows the ]");
    if (closing == 0 && std::ranges::count(host, ':') > 1)
        refuse(text, "an IPv6 address needs brackets: http://[::1]/");
    const bool has_port = colon != std::string_view::npos;
    const std::uint16_t own_port = out.secure() ? 443 : 80;
    out.port_ = has_port ? read_port(text, host.substr(colon + 1), own_port) : own_port;
    host = host.substr(0, colon);
    out.host_ = closing ? read_v6(text, host.substr(1, closing - 1)) : read_name(text, host);
    out.target_ = parts.path.empty() ? "/" : parts.path;
    if (parts.query) out.target_ += "?" + std::string(*parts.query);
    check_percents(text, out.target_);
    return out;
}

// RFC 3986 section 5.2.2; what parse refuses ("http:path" without //, another scheme) it refuses.
url url::resolve(std::string_view location) const {
    const reference parts = split(location);
    if (parts.scheme && !parts.authority) return parse(location);
    std::string whole(parts.scheme.value_or(scheme_));
    whole += "://";
    whole += parts.authority ? std::string(*parts.authority) : authority();
    const std::size_t path_end = std::min(target_.find('?'), target_.size());
    const std::string base = target_.substr(0, path_end);
    if (parts.authority || parts.path.starts_with('/'))
        whole += without_dots(parts.path);
    else if (!parts.path.empty())
        whole += without_dots(base.substr(0, base.rfind('/') + 1).append(parts.path));
    else
        whole += base;
    if (parts.query)
        whole += "?" + std::string(*parts.query);
    else if (!parts.authority && parts.path.empty())
        whole += target_.substr(path_end);
    return parse(percent_encoded(whole));
}

std::string url::authority() const {
    std::string out = host_.find(':') == std::string::npos ? host_ : "[" + host_ + "]";
    if (port_ != (secure() ? 443 : 80)) out += ":" + std::to_string(port_);
    return out;
}

}  // namespace lariat::http
