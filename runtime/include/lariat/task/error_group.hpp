#pragma once

#include <lariat/base/config.hpp>

#include <exception>
#include <string>
#include <vector>

namespace lariat {

/// Several children of one group failed; each exception is kept, in the order of failing. (One
/// failure alone is thrown as itself.)
class LARIAT_EXPORT error_group : public std::exception {
 public:
    explicit error_group(std::vector<std::exception_ptr> errors);
    ~error_group() override;
    error_group(const error_group&);
    error_group& operator=(const error_group&);

    [[nodiscard]] const std::vector<std::exception_ptr>& errors() const noexcept { return errors_; }
    /// "2 tasks failed: first text; second text"
    [[nodiscard]] const char* what() const noexcept override { return text_.c_str(); }

 private:
    std::vector<std::exception_ptr> errors_;
    std::string text_;
};

/// What an exception says: its what(), or a word for one that is no std::exception.
[[nodiscard]] LARIAT_EXPORT std::string describe(const std::exception_ptr& error);

namespace detail {
/// Throws the one error itself, several as an error_group. Pre: not empty.
[[noreturn]] LARIAT_EXPORT void throw_all(std::vector<std::exception_ptr> errors);
}  // namespace detail

}  // namespace lariat
