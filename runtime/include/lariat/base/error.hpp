#pragma once

#include <lariat/base/config.hpp>

#include <stdexcept>
#include <string>
#include <system_error>

namespace lariat {

/// Why a scope's work unwinds. It derives from nothing, so `catch (const std::exception&)` cannot
/// swallow it; let it pass, and clean up in destructors.
struct LARIAT_EXPORT cancelled {};

/// What Lariat itself reports, beside the system's errno; see `lariat_category`.
enum class errc : int {
    timed_out = 1,   ///< timeout_error
    closed,          ///< closed_error: the object was closed, here or by its other end
    incomplete,      ///< incomplete_read: the stream ended inside a message
    broken,          ///< broken_error: a verb of many steps was cut short; the stream is in doubt
    task_cancelled,  ///< task_cancelled: the awaited task was cancelled; the awaiter was not
    limit,           ///< limit_error: more than the caller allowed
    full,            ///< queue_full: put_nowait found no room
    empty,           ///< queue_empty: get_nowait found no item
    broken_barrier,  ///< broken_barrier: a barrier was aborted, or reset under those who wait
};
[[nodiscard]] LARIAT_EXPORT const std::error_category& lariat_category() noexcept;
[[nodiscard]] inline std::error_code make_error_code(errc code) noexcept {
    return {static_cast<int>(code), lariat_category()};
}
/// `negated_errno` as the kernel's completions carry it.
[[nodiscard]] inline std::error_code system_code(int negated_errno) noexcept {
    return {-negated_errno, std::system_category()};
}

/// Time ran out before the operation completed; the operation did not happen.
class LARIAT_EXPORT timeout_error : public std::system_error {
 public:
    explicit timeout_error(const std::string& what = "timeout");
    ~timeout_error() override;
};
class LARIAT_EXPORT closed_error : public std::system_error {
 public:
    explicit closed_error(const std::string& what);
    ~closed_error() override;
};
/// The stream ended before all that was asked for had come. `received()` bytes had, where that is
/// known; a buffered_reader keeps them, see buffered().
class LARIAT_EXPORT incomplete_read : public std::system_error {
 public:
    explicit incomplete_read(const std::string& what);
    incomplete_read(const std::string& what, std::size_t received);
    ~incomplete_read() override;
    [[nodiscard]] std::size_t received() const noexcept { return received_; }

 private:
    std::size_t received_ = 0;
};
class LARIAT_EXPORT broken_error : public std::system_error {
 public:
    explicit broken_error(const std::string& what);
    ~broken_error() override;
};
class LARIAT_EXPORT limit_error : public std::system_error {
 public:
    explicit limit_error(const std::string& what);
    ~limit_error() override;
};
/// The awaited task had been cancelled. The awaiter was not: it may go on.
class LARIAT_EXPORT task_cancelled : public std::system_error {
 public:
    explicit task_cancelled(const std::string& what = "the awaited task");
    ~task_cancelled() override;
};

/// A put that may not wait found the queue full.
class LARIAT_EXPORT queue_full : public std::system_error {
 public:
    explicit queue_full(const std::string& what);
    ~queue_full() override;
};
/// A get that may not wait found the queue empty.
class LARIAT_EXPORT queue_empty : public std::system_error {
 public:
    explicit queue_empty(const std::string& what);
    ~queue_empty() override;
};
/// A barrier was aborted, or reset while tasks waited at it: this round does not come together.
class LARIAT_EXPORT broken_barrier : public std::system_error {
 public:
    explicit broken_barrier(const std::string& what);
    ~broken_barrier() override;
};

/// Throws the exception type that belongs to `code`: those above, else std::system_error.
[[noreturn]] LARIAT_EXPORT void throw_error(std::error_code code, const char* what);
[[noreturn]] LARIAT_EXPORT void throw_error(std::error_code code, const std::string& what);

}  // namespace lariat

template <>
struct std::is_error_code_enum<lariat::errc> : std::true_type {};
