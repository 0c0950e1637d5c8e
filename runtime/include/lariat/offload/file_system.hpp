#pragma once

#include <lariat/base/result.hpp>
#include <lariat/offload/file.hpp>
#include <lariat/offload/file_status.hpp>
#include <lariat/offload/file_wait.hpp>
#include <lariat/task/async_generator.hpp>
#include <lariat/task/task.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace lariat {

/// A verb on paths that gives nothing back.
class LARIAT_EXPORT path_change_awaiter : public detail::path_wait {
 public:
    path_change_awaiter(op_code what, const char* verb, std::string path, std::uint32_t flags = 0,
                        std::uint32_t permissions = 0) noexcept;
    void await_resume() { detail::value_or_throw(finish_nothrow(), verb_, path_); }
    lariat::result<void> finish_nothrow() { return outcome().error(); }

 private:
    const char* verb_;
};

class LARIAT_EXPORT rename_awaiter : public detail::path_wait {
 public:
    rename_awaiter(std::string from, std::string to, std::uint32_t flags) noexcept;

    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> frame) {
        op::set_second(to_.data());
        return path_wait::await_suspend(frame);
    }
    void await_resume();
    lariat::result<void> finish_nothrow() { return outcome().error(); }

 private:
    std::string to_;
};

// Each of these suspends until it is done · Errors: std::system_error with the path and what failed
// ("cannot remove "x": No such file or directory") · Cancel: before it began nothing happens; then
// it is awaited. They take nothing from the loop's thread but the asking, and nothrow().

/// What is known of a file; of a symbolic link, of what it leads to (stat_link: of itself).
[[nodiscard]] LARIAT_EXPORT file_status_awaiter stat_file(std::string path) noexcept;
[[nodiscard]] LARIAT_EXPORT file_status_awaiter stat_link(std::string path) noexcept;

/// Gives a file or directory another name on the same file system, at one stroke: whoever looks
/// finds the old `to` or the new one. rename_new: std::errc::file_exists if there is a `to`.
[[nodiscard]] LARIAT_EXPORT rename_awaiter rename_file(std::string from, std::string to) noexcept;
[[nodiscard]] LARIAT_EXPORT rename_awaiter rename_new(std::string from, std::string to) noexcept;

/// Removes a name; the file goes with its last name, when nobody has it open any more.
[[nodiscard]] LARIAT_EXPORT path_change_awaiter remove_file(std::string path) noexcept;
/// `permissions`: less the umask.
[[nodiscard]] LARIAT_EXPORT path_change_awaiter
make_directory(std::string path, std::uint32_t permissions = 0777) noexcept;
/// Pre: it is empty.
[[nodiscard]] LARIAT_EXPORT path_change_awaiter remove_directory(std::string path) noexcept;

struct directory_entry {
    std::string name;
    file_type type = file_type::unknown;  ///< a symlink's own; unknown where only stat can tell

    directory_entry() noexcept {
    }  // user-declared: an aggregate in an awaiting expression is miscompiled by GCC 12
    friend bool operator==(const directory_entry&, const directory_entry&) = default;
};

/// What a directory holds but "." and "..", all at once.
///
/// Order: the file system's. What is made or removed meanwhile may be there or not; what stays is
/// there once.
[[nodiscard]] LARIAT_EXPORT task<std::vector<directory_entry>> read_directory(std::string path);

/// The same for directories of any size: some hundreds at a time (32 KiB of the kernel's records),
/// never none.
///
///     auto batches = lariat::directory_batches("/var/spool");
///     while (auto batch = co_await batches.next()) {
///         for (const auto& entry : *batch) ...
///     }
[[nodiscard]] LARIAT_EXPORT async_generator<std::vector<directory_entry>> directory_batches(
    std::string path);

}  // namespace lariat
