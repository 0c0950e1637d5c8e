#include <lariat/offload/pipe_end.hpp>

#include "base/pipe_signal.hpp"

#include <lariat/base/error.hpp>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <string>

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

namespace lariat::detail {

namespace {

/// A call takes an int's worth, and Linux no more than this in one (read(2)).
constexpr std::size_t most_at_once = std::size_t{1} << 30;

template <class Call>
int outcome(Call call, std::size_t& count) noexcept {
    for (;;) {
        const ssize_t result = call();
        if (result >= 0) {
            count = static_cast<std::size_t>(result);
            return 0;
        }
        if (errno == EAGAIN) return pipe_end::would_block;
        if (errno != EINTR) return -errno;
    }
}

bool ready_now(int descriptor, short events) noexcept {
    pollfd asked{descriptor, events, 0};
    return ::poll(&asked, 1, 0) != 0;  // an error of poll's is left to the call that follows
}

}  // namespace

// One system call where the kernel can be asked for no signal; four where it cannot. Which of two
// flags it does not know is told by the call without one of them. Files differ in that, so what is
// learnt of one says nothing of another.
int pipe_end::write_quietly(bytes data, int flags, std::size_t& count) noexcept {
    const int fd = descriptor();
    const iovec stretch{const_cast<std::byte*>(data.data()), data.size()};
    const auto write_with = [&](int asked) {
        return [=, &stretch] { return ::pwritev2(fd, &stretch, 1, -1, asked); };
    };
    if (knows_no_signal) {
        const int result = outcome(write_with(flags | rwf_nosignal), count);
        if (result != -EOPNOTSUPP) return result;
    }
    const int result = without_pipe_signal([&] { return outcome(write_with(flags), count); });
    if (result != -EOPNOTSUPP) knows_no_signal = false;
    return result;
}

pipe_end::pipe_end(unique_fd owned, bool private_pipe)
    : io_object(&pipe_end::loop_closes), own(std::move(owned)), how(choose_manner(private_pipe)) {}

pipe_end::manner pipe_end::choose_manner(bool private_pipe) {
    if (private_pipe) return manner::nonblocking;
    struct stat about{};
    if (::fstat(own.get(), &about) != 0)
        throw_error(system_code(-errno), "a stream of descriptor " + std::to_string(own.get()));
    switch (about.st_mode & S_IFMT) {
        case S_IFREG:
        case S_IFDIR:
        case S_IFBLK: return manner::always_ready;
        case S_IFIFO: return manner::nowait;
        case S_IFSOCK: return manner::socket;
        default: return reopen_terminal() ? manner::nonblocking : manner::asked_first;
    }
}

bool pipe_end::reopen_terminal() noexcept {
    if (::isatty(own.get()) == 0) return false;
    // The other side of a pseudo-terminal, opened anew, would be a new pseudo-terminal.
    unsigned number = 0;
    if (::ioctl(own.get(), TIOCGPTN, &number) == 0) return false;
    const int flags = ::fcntl(own.get(), F_GETFL);
    if (flags < 0) return false;
    const std::string path = "/proc/self/fd/" + std::to_string(own.get());
    // Refused where the terminal is another user's (after su), or there is no /proc.
    reopened.reset(::open(path.c_str(), (flags & O_ACCMODE) | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
    return static_cast<bool>(reopened);
}

int pipe_end::try_read(mutable_bytes room, std::size_t& count) noexcept {
    const int fd = descriptor();
    const std::size_t size = std::min(room.size(), most_at_once);
    if (how == manner::nowait) {
        const iovec stretch{room.data(), size};
        const int result =
            outcome([&] { return ::preadv2(fd, &stretch, 1, -1, RWF_NOWAIT); }, count);
        if (result != -EOPNOTSUPP) return result;
        how = manner::asked_first;
    }
    if (how == manner::socket)
        return outcome([&] { return ::recv(fd, room.data(), size, MSG_DONTWAIT); }, count);
    if (how == manner::asked_first && !ready_now(fd, POLLIN)) return would_block;
    return outcome([&] { return ::read(fd, room.data(), size); }, count);
}

int pipe_end::try_write(bytes data, std::size_t& count) noexcept {
    const int fd = descriptor();
    const bytes stretch(data.data(), std::min(data.size(), most_at_once));
    if (how == manner::nowait) {
        const int result = write_quietly(stretch, RWF_NOWAIT, count);
        if (result != -EOPNOTSUPP) return result;
        how = manner::asked_first;
    }
    if (how == manner::socket) {
        return outcome(
            [&] { return ::send(fd, stretch.data(), stretch.size(), MSG_DONTWAIT | MSG_NOSIGNAL); },
            count);
    }
    if (how != manner::asked_first) return write_quietly(stretch, 0, count);
    if (!ready_now(fd, POLLOUT)) return would_block;
    const bytes surely_taken(stretch.data(), std::min<std::size_t>(stretch.size(), PIPE_BUF));
    return write_quietly(surely_taken, 0, count);
}

unique_fd pipe_end::take_descriptor() noexcept {
    // For a program that gets it: few are written for a standard stream that says EAGAIN.
    if (how == manner::nonblocking && !reopened) {
        const int flags = ::fcntl(own.get(), F_GETFL);
        if (flags >= 0) ::fcntl(own.get(), F_SETFL, flags & ~O_NONBLOCK);
    }
    return std::move(own);
}

void pipe_end::close() noexcept {
    if (closing) return;
    closing = true;
    if (waiting == nullptr) return finish_close();
    hold_loop();
    add_ref();
    cancel(*waiting);
}

void pipe_end::waited() noexcept {
    waiting = nullptr;
    if (!closing) return;
    release_loop();
    finish_close();
    drop_ref();
}

void pipe_end::finish_close() noexcept {
    own.reset();
    reopened.reset();
    if (attached()) detach();
}

void pipe_end::loop_closes(io_object& self) noexcept {
    static_cast<list_link&>(self).unlink();  // the list must come to its end; `home` is needed yet
    static_cast<pipe_end&>(self).close();
}

}  // namespace lariat::detail
