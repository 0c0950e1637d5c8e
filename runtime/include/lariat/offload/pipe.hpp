#pragma once

#include <lariat/base/buffer.hpp>
#include <lariat/base/result.hpp>
#include <lariat/offload/pipe_end.hpp>
#include <lariat/task/promise.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace lariat {

namespace detail {

/// Reads once, or writes until some or all is taken, in one wait: it tries, waits until the
/// descriptor is ready, and tries again in the completion.
class LARIAT_EXPORT pipe_wait : public wait_point, public single_step, private op {
 public:
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
        party& p = party_of(frame);
        who = &p;
        if (!begin()) return pass(p, frame);
        park(p, frame);
        return true;
    }

 protected:
    enum class aim : std::uint8_t { read, write_some, write_all };

    /// `data` is read into, or written, and then `count` more stretches at `after`.
    pipe_wait(pipe_end* end, aim what, bytes data, const bytes* after = nullptr,
              std::size_t count = 0) noexcept;
    pipe_wait(pipe_wait&& other) noexcept;

    [[nodiscard]] lariat::result<std::size_t> finish();

 private:
    /// True if it waits.
    [[nodiscard]] bool begin() noexcept;
    /// Goes as far as it can; true if it is over.
    [[nodiscard]] bool advance() noexcept;
    [[nodiscard]] bool take_written(std::size_t count) noexcept;
    void end() noexcept;
    static void ready(op& done) noexcept;
    static void leave(waiter& w) noexcept;
    static const wait_kind reading;
    static const wait_kind writing;

    pipe_ref end_;
    bytes data_;         ///< the room that is read into, or what is left of the present stretch
    const bytes* more_;  ///< the stretches after it
    std::size_t more_count_;
    std::size_t moved_ = 0;
    std::int32_t failure_ = 0;  ///< a negated errno
    aim aim_;
    bool done_ = false;
    bool cut_asked_ = false;
};

}  // namespace detail

class LARIAT_EXPORT pipe_read_awaiter : public detail::pipe_wait {
 public:
    pipe_read_awaiter(detail::pipe_end* end, mutable_bytes room) noexcept
        : pipe_wait(end, aim::read, bytes(room.data(), room.size())) {}
    std::size_t await_resume() { return finish().value("reading"); }
    lariat::result<std::size_t> finish_nothrow() { return finish(); }
};

class LARIAT_EXPORT pipe_write_some_awaiter : public detail::pipe_wait {
 public:
    pipe_write_some_awaiter(detail::pipe_end* end, bytes data) noexcept
        : pipe_wait(end, aim::write_some, data) {}
    std::size_t await_resume() { return finish().value("writing"); }
    lariat::result<std::size_t> finish_nothrow() { return finish(); }
};

class LARIAT_EXPORT pipe_write_awaiter : public detail::pipe_wait {
 public:
    pipe_write_awaiter(detail::pipe_end* end, bytes data) noexcept
        : pipe_wait(end, aim::write_all, data) {}
    pipe_write_awaiter(detail::pipe_end* end, std::span<const bytes> parts) noexcept
        : pipe_wait(end, aim::write_all, bytes(), parts.data(), parts.size()) {}
    void await_resume() { finish_nothrow().value("writing"); }
    lariat::result<void> finish_nothrow() { return finish().error(); }
};

namespace detail {

/// What both handles share.
class LARIAT_EXPORT pipe_handle {
 public:
    pipe_handle(pipe_handle&& other) noexcept : end_(std::exchange(other.end_, nullptr)) {}
    pipe_handle& operator=(pipe_handle&& other) noexcept {
        pipe_handle taken(std::move(other));
        std::swap(end_, taken.end_);  // what was here is closed
        return *this;
    }
    ~pipe_handle() {
        if (end_ != nullptr) drop();
    }

    /// Closes at once for everybody: a verb under way fails with closed_error. Never fails.
    void close() noexcept {
        if (end_ != nullptr) end_->close();
    }
    /// Gives the descriptor away, blocking if this process made it so; the stream is closed. Pre:
    /// no verb is under way. Returns an empty one if it was closed before.
    [[nodiscard]] unique_fd release() noexcept;
    /// False for an empty one, and after close().
    [[nodiscard]] explicit operator bool() const noexcept {
        return end_ != nullptr && !end_->closing;
    }

 protected:
    pipe_handle() noexcept = default;
    pipe_handle(unique_fd owned, bool private_pipe)
        : end_(new pipe_end(std::move(owned), private_pipe)) {}

    pipe_end* end_ = nullptr;

 private:
    void drop() noexcept;
};

}  // namespace detail

struct pipe_ends;

/// The end of a pipe that is read from; also a terminal, a file, or whatever descriptor gives
/// bytes.
///
///     lariat::pipe_reader input = lariat::standard_input();
///     lariat::buffered_reader lines(input);
///     while (auto line = co_await lines.read_line()) ...
///
/// Order        bytes come in order; one task reads at a time (asserted)
/// Threads      the loop it was first used on
/// Lifetime     a handle: move-only; its end closes the descriptor, whatever is in flight. After
///              close every verb reports closed_error
/// Allocation   one record an end; none for a read
/// Limits       a regular file is read where it stands: that may wait for the disk. Reading a
///              terminal from the background stops the program, as ever (SIGTTIN)
class LARIAT_EXPORT pipe_reader : public detail::pipe_handle {
 public:
    /// Empty: every verb reports closed_error.
    pipe_reader() noexcept = default;
    /// Takes over an open descriptor. Its O_NONBLOCK stays as it is. It is closed also if this
    /// throws: std::system_error for what is no open descriptor.
    explicit pipe_reader(int descriptor) : pipe_handle(unique_fd(descriptor), false) {}

    /// Suspends until bytes are there · Returns how many were put into `room`, 0 at the end ·
    /// Errors: std::system_error; closed_error · Cancel: no byte is taken. Pre: room for at least
    /// one byte.
    [[nodiscard]] pipe_read_awaiter read_some(mutable_bytes room) noexcept;

 private:
    friend LARIAT_EXPORT pipe_ends make_pipe();
    friend class subprocess;
    pipe_reader(unique_fd owned, bool private_pipe) : pipe_handle(std::move(owned), private_pipe) {}
};

/// The end of a pipe that is written to; also a terminal, a file, or whatever descriptor takes
/// bytes. SIGPIPE is never raised: when nobody is left to read, that is the error EPIPE.
///
/// Order        bytes go in order; one task writes at a time (asserted)
/// Threads      the loop it was first used on
/// Lifetime     as pipe_reader's. Nothing is kept back: what was written is in the pipe when the
///              end goes
/// Allocation   one record an end; none for a write
/// Limits       a pipe holds 64 KiB (pipe(7)): a write of more waits for its reader
class LARIAT_EXPORT pipe_writer : public detail::pipe_handle {
 public:
    /// Empty: every verb reports closed_error.
    pipe_writer() noexcept = default;
    /// Takes over an open descriptor, as a pipe_reader does.
    explicit pipe_writer(int descriptor) : pipe_handle(unique_fd(descriptor), false) {}

    /// Suspends until some of it was taken · Returns how many bytes · Errors: std::system_error
    /// (std::errc::broken_pipe: nobody reads); closed_error · Cancel: none was taken.
    [[nodiscard]] pipe_write_some_awaiter write_some(bytes data) noexcept;
    /// Suspends until all was taken · Errors: those; broken_error after a write that was cut short
    /// · Cancel: if part of it had gone the stream is broken: close it.
    [[nodiscard]] pipe_write_awaiter write_all(bytes data) noexcept;
    /// The same for several stretches, one after the other. Borrows `parts` as well.
    [[nodiscard]] pipe_write_awaiter write_all(std::span<const bytes> parts) noexcept;

 private:
    friend LARIAT_EXPORT pipe_ends make_pipe();
    friend class subprocess;
    pipe_writer(unique_fd owned, bool private_pipe) : pipe_handle(std::move(owned), private_pipe) {}
};

struct pipe_ends {
    pipe_reader reader;
    pipe_writer writer;
};

/// A new pipe, both ends in this process: to hand one of them on, or for tasks to talk through.
///
/// Errors: std::system_error when there are no descriptors left.
[[nodiscard]] LARIAT_EXPORT pipe_ends make_pipe();

/// This program's own streams: a descriptor of their own beside 0, 1 and 2, which stay open and as
/// they are. What <cstdio> or <iostream> have read ahead, or not flushed yet, is not seen here.
///
/// Errors: std::system_error, if the program was started without one.
[[nodiscard]] LARIAT_EXPORT pipe_reader standard_input();
[[nodiscard]] LARIAT_EXPORT pipe_writer standard_output();
[[nodiscard]] LARIAT_EXPORT pipe_writer standard_error();

}  // namespace lariat
