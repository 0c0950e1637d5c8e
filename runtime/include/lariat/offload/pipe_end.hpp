#pragma once

#include <lariat/base/buffer.hpp>
#include <lariat/base/frame_allocator.hpp>
#include <lariat/base/unique_fd.hpp>
#include <lariat/loop/io.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

namespace lariat::detail {

/// A descriptor that bytes are read from or written to without ever blocking the loop, and without
/// a change to what others see of it. Pipe streams are handles to it.
///
/// O_NONBLOCK belongs to the open file, which an inherited descriptor shares with other programs: a
/// shell, the next program of a pipeline. They would suddenly find it non-blocking. So the flag is
/// set on what is our own alone, and everything else is used in a manner of its own:
///
///   always_ready  a regular file, a folder, a disk: used where it stands, each call may wait for
///                 the disk (no poll tells of it)
///   nonblocking   our own end of a pipe, with O_NONBLOCK set; a terminal opened anew through
///                 /proc/self/fd, so that the flag is that opening's
///   nowait        any other pipe: preadv2 and pwritev2 with RWF_NOWAIT, which binds one call
///   socket        MSG_DONTWAIT, which binds one call
///   asked_first   whatever is left: a pipe with a name, which knows no RWF_NOWAIT (nor does any on
///                 older kernels), the other side of a terminal. poll(2), then a blocking call, of
///                 PIPE_BUF bytes at most when it writes: so much a pipe that is ready takes
///                 without blocking (pipe(7)). Another program that reads or writes the same file
///                 between the two may hold us up
///
/// States       open -> closing (close) -> released (at once, or when the wait under way has ended)
/// Invariant    the descriptor is closed only when no operation waits on it
struct LARIAT_EXPORT pipe_end : io_object {
    enum class manner : std::uint8_t { always_ready, nonblocking, nowait, socket, asked_first };
    static constexpr int would_block = 1;  ///< no errno: those are negated

    /// Chooses the manner. `private_pipe`: nobody shares this end, and it has O_NONBLOCK. Errors:
    /// std::system_error for what is no open descriptor.
    pipe_end(unique_fd owned, bool private_pipe);
    static void* operator new(std::size_t bytes) { return allocate_frame(bytes); }
    static void operator delete(void* memory, std::size_t bytes) noexcept {
        deallocate_frame(memory, bytes);
    }

    /// 0, with the number of bytes in `count`; would_block; or a negated errno. SIGPIPE is not
    /// raised.
    [[nodiscard]] int try_read(mutable_bytes room, std::size_t& count) noexcept;
    [[nodiscard]] int try_write(bytes data, std::size_t& count) noexcept;
    [[nodiscard]] int descriptor() const noexcept { return (reopened ? reopened : own).get(); }

    /// What was given to the constructor, blocking again if it was private. Pre: no wait.
    [[nodiscard]] unique_fd take_descriptor() noexcept;
    /// Ends it for everybody: a read or write under way fails with closed_error.
    void close() noexcept;
    /// The wait under way has had its last completion.
    void waited() noexcept;
    void add_ref() noexcept { ++refs; }
    void drop_ref() noexcept {
        if (--refs == 0) delete this;
    }

    unique_fd own;
    unique_fd reopened;     ///< the same terminal, used instead
    op* waiting = nullptr;  ///< in the frame of the task that reads or writes
    std::uint16_t refs = 1;
    manner how;
    bool closing = false;
    bool broken = false;  ///< a write was cut short: what the other end has is in doubt

 private:
    [[nodiscard]] manner choose_manner(bool private_pipe);
    [[nodiscard]] bool reopen_terminal() noexcept;
    [[nodiscard]] int write_quietly(bytes data, int flags, std::size_t& count) noexcept;
    void finish_close() noexcept;
    static void loop_closes(io_object& self) noexcept;

    bool knows_no_signal = true;  ///< RWF_NOSIGNAL, until a write is refused for it
};

/// A counted reference: a stream's handle may go, in another task, before its verb has ended.
class pipe_ref {
 public:
    explicit pipe_ref(pipe_end* end) noexcept : end_(end) {
        if (end_ != nullptr) end_->add_ref();
    }
    pipe_ref(pipe_ref&& other) noexcept : end_(std::exchange(other.end_, nullptr)) {}
    pipe_ref& operator=(pipe_ref&&) = delete;
    ~pipe_ref() {
        if (end_ != nullptr) end_->drop_ref();
    }

    [[nodiscard]] pipe_end* operator->() const noexcept { return end_; }
    [[nodiscard]] explicit operator bool() const noexcept { return end_ != nullptr; }

 private:
    pipe_end* end_;
};

}  // namespace lariat::detail
