#include <lariat/net/http/headers.hpp>

#include <algorithm>
#include <utility>

namespace lariat::http {

namespace {

constexpr char lower(char letter) noexcept {
    return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter + ('a' - 'A')) : letter;
}

}  // namespace

bool same_name(std::string_view left, std::string_view right) noexcept {
    return std::ranges::equal(left, right, {}, lower, lower);
}

header::header(std::string name_, std::string value_)
    : name(std::move(name_)), value(std::move(value_)) {}

void headers::add(std::string name, std::string value) {
    lines_.emplace_back(std::move(name), std::move(value));
}

void headers::set(std::string name, std::string value) {
    remove(name);
    add(std::move(name), std::move(value));
}

std::size_t headers::remove(std::string_view name) noexcept {
    return std::erase_if(lines_, [&](const header& line) { return same_name(line.name, name); });
}

std::optional<std::string_view> headers::find(std::string_view name) const noexcept {
    for (const header& line : lines_)
        if (same_name(line.name, name)) return line.value;
    return std::nullopt;
}

std::vector<std::string_view> headers::all(std::string_view name) const {
    std::vector<std::string_view> values;
    for (const header& line : lines_)
        if (same_name(line.name, name)) values.emplace_back(line.value);
    return values;
}

}  // namespace lariat::http
