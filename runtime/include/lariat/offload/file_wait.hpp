#pragma once

#include <lariat/base/error.hpp>
#include <lariat/base/result.hpp>
#include <lariat/loop/io.hpp>
#include <lariat/offload/blocking.hpp>
#include <lariat/offload/file_state.hpp>
#include <lariat/task/held_awaiter.hpp>

#include <array>
#include <cerrno>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace lariat::detail {

/// Makes the system call that a file operation stands for, on this thread. Returns what the
/// operation would: >= 0, or a negated errno; never -EINTR.
[[nodiscard]] LARIAT_EXPORT std::int32_t perform(const op& what) noexcept;

/// Throws "cannot <verb> "<path>": <reason>", in the exception that belongs to `code`.
[[noreturn]] LARIAT_EXPORT void throw_file_error(std::error_code code, std::string_view verb,
                                                 std::string_view path,
                                                 std::string_view detail = {});

template <class T>
T value_or_throw(result<T> ended, std::string_view verb, std::string_view path) {
    if (!ended) [[unlikely]]
        throw_file_error(ended.error(), verb, path);
    if constexpr (!std::is_void_v<T>) return std::move(ended).value();
}

/// For the pool: an op that lies in the frame that waits for its end.
struct op_call {
    op* what;
    std::int32_t operator()() const noexcept { return perform(*what); }
};

/// Waits for one operation on files: by the driver where it does such, else for the same system
/// call on a thread of the pool. Which of the two is the driver's answer to the operation itself.
///
/// Cancel       what has not begun does not happen. What has is awaited, on the pool; a ring's may
///              be interrupted where the kernel allows it
class LARIAT_EXPORT file_wait : public io_awaiter {
 public:
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> frame) {
        party& p = party_of(frame);
        if (!begin()) return over(p, frame);
        if (!off_loop_) {
            if (!detail::submit(*this)) {
                park(p, frame);
                return std::noop_coroutine();
            }
            if (op::result != -EOPNOTSUPP) return over(p, frame);
        }
        off_loop_ = true;
        return pooled_.emplace(run_blocking(op_call{this})).suspend(frame);
    }

 protected:
    /// What is asked of no open file.
    explicit file_wait(op_code what) noexcept;
    /// What is asked of `of`; null, or closed when it is awaited: errc::closed.
    file_wait(op_code what, file_state* of) noexcept;
    file_wait(file_wait&& other) noexcept;

    /// It ends with `why` when it is awaited, and nothing is asked of the system.
    void refuse(std::error_code why) noexcept { refusal_ = why; }
    /// Not by the driver, whatever it can do.
    void keep_off_loop() noexcept { off_loop_ = true; }
    /// Whether it was the driver that did it.
    [[nodiscard]] bool by_driver() const noexcept { return !off_loop_; }

    /// Once, when it is over: what the operation returned, >= 0. Errors: `cancelled`.
    [[nodiscard]] lariat::result<std::uint32_t> outcome();
    /// The open file's, for errors.
    [[nodiscard]] std::string_view path() const noexcept;

    file_use file_;

 private:
    using pooled = held_awaiter<decltype(run_blocking(std::declval<op_call>()))>;

    template <class Promise>
    std::coroutine_handle<> over(party& p, std::coroutine_handle<Promise> frame) noexcept {
        if (pass(p, frame)) return std::noop_coroutine();
        return frame;
    }
    /// False if it cannot be asked.
    [[nodiscard]] bool begin() noexcept;

    std::error_code refusal_;
    bool of_file_ = false;
    bool off_loop_ = false;
    std::optional<pooled> pooled_;
};

/// What is asked of a path, relative to the working directory.
class LARIAT_EXPORT path_wait : public file_wait {
 public:
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> frame) {
        op::address = path_.data();  // only now: until it is awaited, it may be moved
        return file_wait::await_suspend(frame);
    }

 protected:
    path_wait(op_code what, std::string path) noexcept;
    /// What the kernel calls an empty path: the open file itself.
    path_wait(op_code what, file_state* of) noexcept : file_wait(what, of) {}

    /// Refuses a path that no system call can be given whole.
    void check(const std::string& path) noexcept;

    std::string path_;
};

/// A struct statx of the kernel (statx(2)), asked by path or of an open file.
class LARIAT_EXPORT status_wait : public path_wait {
 public:
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> frame) {
        op::set_second(buffer_.data());
        return path_wait::await_suspend(frame);
    }

 protected:
    status_wait(std::string path, std::uint32_t flags) noexcept;
    explicit status_wait(file_state* of) noexcept;

    alignas(8) std::array<std::byte, 256> buffer_{};
};

}  // namespace lariat::detail
