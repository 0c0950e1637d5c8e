#include "process/workers/desk.hpp"

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string_view>
#include <system_error>
#include <vector>

#include <sys/socket.h>

namespace lariat::detail {

namespace {

constexpr std::size_t most_bytes = 512;  // an address's text, or an error's

struct head {
    std::int32_t what = 0;  // desk_request, or the errno of an answer
    std::uint32_t port = 0;
};

[[noreturn]] void refuse(int error, const std::string& what) {
    throw std::system_error(error, std::system_category(), what);
}

/// One record, with a descriptor if that is not -1. Returns false with errno.
bool send_record(int desk, const head& first, std::string_view text, int descriptor) noexcept {
    if (text.size() > most_bytes) text = text.substr(0, most_bytes);
    head copy = first;
    std::array<iovec, 2> parts{iovec{&copy, sizeof copy},
                               iovec{const_cast<char*>(text.data()), text.size()}};
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    if (descriptor >= 0) {
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        cmsghdr* rights = CMSG_FIRSTHDR(&message);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(sizeof(int));
        std::memcpy(CMSG_DATA(rights), &descriptor, sizeof descriptor);
    }
    ssize_t sent = 0;
    do {
        sent = ::sendmsg(desk, &message, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent >= 0;
}

struct record {
    head first;
    std::string text;
    unique_fd descriptor;
    bool cut = false;  ///< it had a descriptor, and this process has no room for one
    bool gone = false;
    int error = 0;
};

record receive_record(int desk) {
    record got;
    got.text.resize(most_bytes);
    std::array<iovec, 2> parts{iovec{&got.first, sizeof got.first},
                               iovec{got.text.data(), got.text.size()}};
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    ssize_t count = 0;
    do {
        count = ::recvmsg(desk, &message, MSG_CMSG_CLOEXEC);
    } while (count < 0 && errno == EINTR);
    if (count < 0 && errno != ECONNRESET) {
        got.error = errno;
        return got;
    }
    got.gone = count < static_cast<ssize_t>(sizeof got.first);
    if (got.gone) return got;
    got.text.resize(static_cast<std::size_t>(count) - sizeof got.first);
    if (const cmsghdr* rights = CMSG_FIRSTHDR(&message);
        rights != nullptr && rights->cmsg_type == SCM_RIGHTS) {
        int descriptor = -1;
        std::memcpy(&descriptor, CMSG_DATA(rights), sizeof descriptor);
        got.descriptor = unique_fd(descriptor);
    }
    got.cut = (message.msg_flags & MSG_CTRUNC) != 0;
    return got;
}

[[noreturn]] void refuse_gone() {
    refuse(EPIPE, "this worker's supervisor is gone, and with it the listening sockets");
}

}  // namespace

desk_ends open_desk() {
    std::array<int, 2> ends{-1, -1};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0)
        refuse(errno, "a worker's line to its supervisor");
    desk_ends made;
    made.worker = unique_fd(ends[0]);
    made.supervisor = unique_fd(ends[1]);
    return made;
}

unique_fd ask_for_listener(int desk, const std::string& address, std::uint16_t port) {
    head question;
    question.what = static_cast<std::int32_t>(desk_request::listener);
    question.port = port;
    if (!send_record(desk, question, address, -1)) refuse_gone();
    record answer = receive_record(desk);
    if (answer.gone || answer.error != 0) refuse_gone();
    if (answer.first.what != 0) refuse(answer.first.what, answer.text);
    if (answer.cut || !answer.descriptor)
        refuse(EMFILE, "the listening socket for " + address + ":" + std::to_string(port) +
                           ": this worker has no descriptor left");
    return std::move(answer.descriptor);
}

void say_ready(int desk) {
    head question;
    question.what = static_cast<std::int32_t>(desk_request::ready);
    if (!send_record(desk, question, {}, -1)) refuse_gone();
}

void say_leaving(int desk) noexcept {
    head news;
    news.what = static_cast<std::int32_t>(desk_request::leaving);
    (void)send_record(desk, news, {}, -1);
}

void say_closed(int desk) noexcept {
    head news;
    news.what = static_cast<std::int32_t>(desk_request::closed);
    (void)send_record(desk, news, {}, -1);
}

desk_news look_at_desk(int desk) {
    // Not a descriptor that never blocks: the worker's end is the same kind, and blocks.
    char nothing = 0;
    if (::recv(desk, &nothing, sizeof nothing, MSG_PEEK | MSG_DONTWAIT) < 0 &&
        (errno == EAGAIN || errno == EINTR))
        return {};
    record got = receive_record(desk);
    desk_news news;
    news.gone = got.gone || got.error != 0;
    if (news.gone) return news;
    desk_message message;
    message.what = static_cast<desk_request>(got.first.what);
    message.address = std::move(got.text);
    message.port = static_cast<std::uint16_t>(got.first.port);
    news.message = std::move(message);
    return news;
}

void answer_listener(int desk, int listener, int error, const std::string& words) noexcept {
    head answer;
    answer.what = error;
    // It is refused only when the worker has gone, which its end tells as well.
    (void)send_record(desk, answer, words, listener);
}

}  // namespace lariat::detail
