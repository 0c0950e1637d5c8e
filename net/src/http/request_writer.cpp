#include "http/request_writer.hpp"

#include <algorithm>
#include <cstddef>
#include <stdexcept>

#include "http/grammar.hpp"
#include "quote.hpp"

namespace lariat::http::detail {

namespace {

using lariat::detail::quote;

[[noreturn]] void refuse(std::string_view name, const std::string& why) {
    throw std::invalid_argument("bad request header " + quote(name) + ": " + why);
}

void check(const header& line) {
    if (!is_token(line.name))
        refuse(line.name, "a header's name is made of letters, digits and !#$%&'*+-.^_`|~");
    const auto bad = std::ranges::find_if_not(line.value, is_in_value);
    if (bad != line.value.end())
        refuse(line.name, "its value has a control character at byte " +
                              std::to_string(bad - line.value.begin()) + ": " + quote(line.value));
    if (same_name(line.name, "Content-Length") || same_name(line.name, "Transfer-Encoding"))
        refuse(line.name, "the client writes it itself, to fit the body it sends");
}

void append(std::string& head, std::string_view name, std::string_view value) {
    head.append(name).append(": ").append(value).append("\r\n");
}

}  // namespace

std::string write_request_head(std::string_view method, const url& to, const headers& lines,
                               std::optional<std::uint64_t> body_bytes) {
    if (!is_token(method))
        throw std::invalid_argument("bad request method " + quote(method) +
                                    ": a method is one word, as GET");
    std::ranges::for_each(lines, check);
    if (lines.all("Host").size() > 1) refuse("Host", "it stands twice");
    std::string head;
    head.append(method).append(" ").append(to.target()).append(" HTTP/1.1\r\n");
    if (!lines.find("Host")) append(head, "Host", to.authority());
    if (body_bytes) append(head, "Content-Length", std::to_string(*body_bytes));
    for (const header& line : lines) append(head, line.name, line.value);
    return head += "\r\n";
}

}  // namespace lariat::http::detail
