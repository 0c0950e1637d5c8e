#pragma once

#include <lariat/base/config.hpp>
#include <lariat/task/task.hpp>

#include <concepts>
#include <cstddef>
#include <ranges>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace lariat {

struct write_options {
    bool append = false;      ///< after what is there; else that is cut off first
    bool create_new = false;  ///< the file must not exist yet: std::errc::file_exists if it does
    unsigned permissions = 0666;  ///< of a file that is made, less the process's umask
    /// Whoever looks finds the old content or all of the new, also after a crash if `sync` is set
    /// too. See write_file.
    bool atomic = false;
    bool sync = false;  ///< the bytes and the name are on the disk when it returns (fsync(2))

    write_options() {
    }  // user-declared: an aggregate in an awaiting expression is miscompiled by GCC 12
};

struct read_options {
    std::size_t limit = ~std::size_t{0};  ///< bytes; limit_error if there are more

    read_options() {
    }  // user-declared: an aggregate in an awaiting expression is miscompiled by GCC 12
};

namespace detail {

/// Text, or any contiguous run of single bytes.
template <class Content>
concept file_content =
    std::convertible_to<const Content&, std::string_view> ||
    (std::ranges::contiguous_range<const Content&> && std::ranges::sized_range<const Content&> &&
     sizeof(std::ranges::range_value_t<const Content&>) == 1 &&
     std::is_trivially_copyable_v<std::ranges::range_value_t<const Content&>>);

template <file_content Content>
[[nodiscard]] std::span<const std::byte> bytes_of(const Content& content) {
    if constexpr (std::convertible_to<const Content&, std::string_view>) {
        return std::as_bytes(std::span(std::string_view(content)));
    } else {
        return std::as_bytes(std::span(std::ranges::data(content), std::ranges::size(content)));
    }
}

[[nodiscard]] LARIAT_EXPORT task<> write_bytes(std::string path, std::span<const std::byte> content,
                                               write_options options);

}  // namespace detail

/// Makes a file, or replaces what is in it; off the loop's thread.
///
///     co_await lariat::write_file("out/page.html", body);
///
/// With write_options::atomic it writes a file beside it (".lariat-" and a random number), which
/// takes the name when it is complete. That file keeps the permissions of the one that was there,
/// and nothing else of it: owner, attributes, further names (hard links) and those who have it open
/// stay with the old one. A symbolic link is followed: the file it leads to is replaced. What is no
/// regular file (a directory, a device), and append, are refused: std::errc::is_a_directory,
/// std::errc::invalid_argument.
///
/// Suspends until the kernel has taken all (it is on the disk with write_options::sync alone) ·
/// Errors: std::system_error with the path and what failed; after a write that failed, for want of
/// room for instance, what had been written stays; atomic: everything is as before, and no file is
/// left beside it, but after "cannot sync the folder of": then the new content has the name, and a
/// crash may bring the old back. sync opens the folder, which takes the right to read it · Cancel:
/// before it began nothing happens; then it is awaited to its end · Borrows: a string or vector is
/// copied or moved into the task; what a string_view, span or const char* refers to, outlives it.
template <detail::file_content Content>
[[nodiscard]] task<> write_file(std::string path, Content content,
                                write_options options = write_options()) {
    const std::span<const std::byte> bytes = detail::bytes_of(content);
    co_await detail::write_bytes(std::move(path), bytes, options);
}

/// Reads a file to its end, also one whose size nobody knows before (/proc, a pipe); off the loop's
/// thread.
///
/// Suspends until read · Returns what is in it · Errors: std::system_error with the path and what
/// failed; limit_error, having read no more than one byte beyond the limit · Cancel: before it
/// began nothing happens; then it is awaited to its end, which for a pipe or a terminal is its
/// writer's to bring · Cost: one copy from the kernel.
[[nodiscard]] LARIAT_EXPORT task<std::string> read_file(std::string path,
                                                        read_options options = read_options());

}  // namespace lariat
