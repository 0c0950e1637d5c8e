#pragma once

#include <lariat/base/config.hpp>

#include <cstddef>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lariat::http {

/// Whether two header names are the same: case does not count (ASCII).
[[nodiscard]] LARIAT_EXPORT bool same_name(std::string_view left, std::string_view right) noexcept;

/// One header line.
struct LARIAT_EXPORT header {
    header(std::string name_, std::string value_);

    std::string name;
    std::string value;
};

/// The header lines of a request or an answer, in order; a name may stand more than once. Names are
/// kept as written and found whatever their case. What is put in is checked when it is sent.
///
/// Allocation   one vector, and what the strings need
class LARIAT_EXPORT headers {
 public:
    headers() = default;
    headers(std::initializer_list<header> lines) : lines_(lines) {}

    /// Appends a line, also beside others of this name.
    void add(std::string name, std::string value);
    /// Makes this the only line of that name.
    void set(std::string name, std::string value);
    /// Returns  how many lines of that name there were
    std::size_t remove(std::string_view name) noexcept;

    /// Returns  the value of the first line of that name; it lives as long as the line
    [[nodiscard]] std::optional<std::string_view> find(std::string_view name) const noexcept;
    /// Returns  the values of all lines of that name, in order
    [[nodiscard]] std::vector<std::string_view> all(std::string_view name) const;

    [[nodiscard]] std::size_t size() const noexcept { return lines_.size(); }
    [[nodiscard]] bool empty() const noexcept { return lines_.empty(); }
    [[nodiscard]] auto begin() const noexcept { return lines_.begin(); }
    [[nodiscard]] auto end() const noexcept { return lines_.end(); }

 private:
    std::vector<header> lines_;
};

}  // namespace lariat::http
