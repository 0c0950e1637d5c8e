#pragma once

#include <lariat/base/buffer.hpp>
#include <lariat/base/result.hpp>
#include <lariat/offload/file_status.hpp>
#include <lariat/offload/file_wait.hpp>
#include <lariat/task/task.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

namespace lariat {

/// How a file is opened; joined by `|`.
enum class open_mode : std::uint8_t {
    read = 1,
    write = 2,
    read_write = read | write,
    append = 4,       ///< write; all that is written goes to the end
    create = 8,       ///< made if there is none
    create_new = 16,  ///< made; std::errc::file_exists if there is one
    truncate = 32,    ///< its bytes are cut off; it takes write
};
[[nodiscard]] constexpr open_mode operator|(open_mode one, open_mode other) noexcept {
    return static_cast<open_mode>(static_cast<unsigned>(one) | static_cast<unsigned>(other));
}
[[nodiscard]] constexpr bool contains(open_mode all, open_mode some) noexcept {
    return (static_cast<unsigned>(all) & static_cast<unsigned>(some)) ==
           static_cast<unsigned>(some);
}

class open_awaiter;
class file_read_awaiter;
class file_write_awaiter;
class file_status_awaiter;
class file_size_awaiter;
class file_change_awaiter;

/// An open file. Bytes are read and written at offsets, so that tasks that share it are not in each
/// other's way.
///
///     lariat::file log = co_await lariat::file::open(
///         "app.log", lariat::open_mode::append | lariat::open_mode::create);
///     co_await log.append("started\n");
///     co_await log.fdatasync();
///     co_await log.close();
///
/// A ring does the work where the kernel's can; else a thread of the pool does, and the loop is
/// never held up. Small reads of what is in memory are done at once (see the runtime's README).
///
/// Order        none between verbs under way: await one before the next where it matters
/// Threads      one loop at a time
/// Lifetime     move-only; its end closes at once on this thread, as soon as no verb is under way.
///              That seldom takes long but on a network's disk: await close()
/// Allocation   one record a file; none for a read or a write
/// Limits       for what has offsets: of a pipe or terminal, which is a stream (pipe.hpp), every
///              read and write fails with ESPIPE. A named pipe (FIFO) is not for open at all:
///              without its other end, a ring opens it for reading at once, and a thread of the
///              pool waits, which no timeout cuts. Give pipe_reader or pipe_writer a descriptor
///              that open(2) made with O_NONBLOCK. One call moves 2 GiB less a page at most
///              (read(2)). A write beyond RLIMIT_FSIZE raises SIGXFSZ, which ends a program that
///              does not ignore it, as write(2) does
class LARIAT_EXPORT file {
 public:
    /// Closed: every verb reports closed_error.
    file() noexcept = default;
    file(file&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
    file& operator=(file&& other) noexcept {
        file taken(std::move(other));
        std::swap(state_, taken.state_);  // what was here is closed
        return *this;
    }
    ~file() {
        if (state_ != nullptr) release();
    }

    /// Opens `path`; never inherited by programs that this one starts, and never the terminal that
    /// signals come from (O_CLOEXEC, O_NOCTTY). `permissions`, less the umask, are a new file's.
    ///
    /// Suspends until open · Errors, as for every verb here: std::system_error with the path and
    /// what failed ("cannot open "app.log": Permission denied") · Cancel: no descriptor is left
    [[nodiscard]] static open_awaiter open(std::string path, open_mode mode = open_mode::read,
                                           unsigned permissions = 0666);

    /// Suspends until read · Returns how many bytes, fewer than there is room for at the end, and 0
    /// behind it · Cancel: nothing is read
    [[nodiscard]] file_read_awaiter read_at(std::uint64_t offset, mutable_bytes room) noexcept;
    /// Fills `room` · Errors: incomplete_read at the end of the file, also.
    [[nodiscard]] task<> read_exactly_at(std::uint64_t offset, mutable_bytes room);

    /// Suspends until the kernel has it · Returns how many bytes were taken, as write(2) does:
    /// fewer when the disk is full, for instance. Beyond the end it leaves a hole. On a file opened
    /// with append, Linux writes at the end (BUGS of pwrite(2)) · Cancel: nothing is written
    [[nodiscard]] file_write_awaiter write_at(std::uint64_t offset, bytes data) noexcept;
    /// Writes all of `data` · Errors, Cancel: what came before stays written.
    [[nodiscard]] task<> write_all_at(std::uint64_t offset, bytes data);
    /// write_at the end, whatever its mode: others that append meanwhile overwrite nothing.
    [[nodiscard]] file_write_awaiter append(bytes data) noexcept;

    [[nodiscard]] file_status_awaiter status() noexcept;
    [[nodiscard]] file_size_awaiter size() noexcept;
    /// Suspends until bytes and metadata (fdatasync: what it takes to read the bytes) are on the
    /// disk · Errors: for what an earlier write could not bring there too, once (fsync(2)).
    [[nodiscard]] file_change_awaiter fsync() noexcept;
    [[nodiscard]] file_change_awaiter fdatasync() noexcept;
    /// Cuts, or grows by a hole, to `size` bytes.
    [[nodiscard]] file_change_awaiter truncate(std::uint64_t size) noexcept;

    /// Every verb reports closed_error from here on, before it is awaited too; those under way end
    /// first. Nothing if it is closed.
    ///
    /// Suspends until the descriptor is given back · Errors: what close(2) is the first to know of
    /// earlier writes, on a network's disk say; it is closed all the same · Cancel: closed all the
    /// same, then or when the last verb ends
    [[nodiscard]] task<> close();

    [[nodiscard]] bool is_open() const noexcept { return state_ != nullptr && !state_->closing; }
    /// The descriptor, which stays this file's; -1 when closed.
    [[nodiscard]] int descriptor() const noexcept { return is_open() ? state_->fd : -1; }

 private:
    friend class open_awaiter;
    explicit file(detail::file_state* state) noexcept : state_(state) {}
    void release() noexcept;

    detail::file_state* state_ = nullptr;
};

class LARIAT_EXPORT open_awaiter : public detail::path_wait {
 public:
    open_awaiter(std::string path, open_mode mode, unsigned permissions) noexcept;
    file await_resume() { return detail::value_or_throw(finish_nothrow(), "open", path_); }
    lariat::result<file> finish_nothrow();
};

class LARIAT_EXPORT file_read_awaiter : public detail::file_wait {
 public:
    file_read_awaiter(detail::file_state* of, std::uint64_t from, mutable_bytes room) noexcept;
    std::size_t await_resume() { return detail::value_or_throw(finish_nothrow(), "read", path()); }
    lariat::result<std::size_t> finish_nothrow();
};

class LARIAT_EXPORT file_write_awaiter : public detail::file_wait {
 public:
    /// `flags`: RWF_ of pwritev2(2).
    file_write_awaiter(detail::file_state* of, std::uint64_t at, bytes data,
                       std::uint32_t flags) noexcept;
    std::size_t await_resume() {
        return detail::value_or_throw(finish_nothrow(), "write to", path());
    }
    lariat::result<std::size_t> finish_nothrow();
};

class LARIAT_EXPORT file_status_awaiter : public detail::status_wait {
 public:
    file_status_awaiter(std::string path, std::uint32_t flags) noexcept
        : status_wait(std::move(path), flags) {}
    explicit file_status_awaiter(detail::file_state* of) noexcept : status_wait(of) {}
    file_status await_resume();
    lariat::result<file_status> finish_nothrow();
};

class LARIAT_EXPORT file_size_awaiter : public file_status_awaiter {
 public:
    using file_status_awaiter::file_status_awaiter;
    std::uint64_t await_resume() { return file_status_awaiter::await_resume().size; }
    lariat::result<std::uint64_t> finish_nothrow();
};

/// A verb that gives nothing back: fsync, fdatasync, truncate.
class LARIAT_EXPORT file_change_awaiter : public detail::file_wait {
 public:
    file_change_awaiter(detail::file_state* of, op_code what, const char* verb) noexcept
        : file_wait(what, of), verb_(verb) {}
    void await_resume() { detail::value_or_throw(finish_nothrow(), verb_, path()); }
    lariat::result<void> finish_nothrow();

 private:
    friend class file;
    const char* verb_;
};

}  // namespace lariat
