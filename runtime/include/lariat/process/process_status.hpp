#pragma once

#include <lariat/process/remote_error.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace lariat {

/// A process ended otherwise than by returning from its function: what process_status::check throws
/// where no exception came along.
class LARIAT_EXPORT process_failed : public std::runtime_error {
 public:
    process_failed(const std::string& what, int exit_code);
    ~process_failed() override;

    /// -N: signal N ended it.
    [[nodiscard]] int exit_code() const noexcept { return exit_code_; }

 private:
    int exit_code_;
};

/// How a process ended. A value.
class LARIAT_EXPORT process_status {
 public:
    /// What an exception that ended a process was.
    struct failure {
        std::string_view type;  ///< as in the source
        std::string_view text;  ///< its what(); cut after 16 KiB
    };

    process_status() noexcept = default;
    /// Library use.
    process_status(std::string name, int code, std::optional<detail::exception_record> failed)
        : name_(std::move(name)), exit_code_(code), failure_(std::move(failed)) {}

    /// 0 if its function returned, 1 if that threw, N after std::exit(N), -N if signal N ended it.
    [[nodiscard]] int exit_code() const noexcept { return exit_code_; }
    /// The signal that ended it, or 0.
    [[nodiscard]] int signal() const noexcept { return exit_code_ < 0 ? -exit_code_ : 0; }
    /// The exception that ended it, if one did. Borrows from this status.
    [[nodiscard]] std::optional<failure> exception() const noexcept {
        if (!failure_) return std::nullopt;
        return failure{failure_->type, failure_->text};
    }

    /// Nothing if its exit code is 0. Errors: what its function threw (of a type that only has a
    /// name here: remote_error); process_failed for any other end.
    void check() const;

 private:
    std::string name_;
    int exit_code_ = 0;
    std::optional<detail::exception_record> failure_;
};

}  // namespace lariat
