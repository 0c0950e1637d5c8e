#include "process/channel.hpp"

#include "offload/uninterrupted.hpp"
#include "process/protocol.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <sys/socket.h>
#include <sys/uio.h>

namespace lariat::detail {

namespace {

struct control_room {
    alignas(cmsghdr) std::array<char, CMSG_SPACE(most_received * sizeof(int))> bytes;
};

/// The kernel has opened them: they are taken whatever becomes of the message.
void take_descriptors(msghdr& message, std::vector<unique_fd>& into) {
    for (cmsghdr* each = CMSG_FIRSTHDR(&message); each != nullptr;
         each = CMSG_NXTHDR(&message, each)) {
        if (each->cmsg_level != SOL_SOCKET || each->cmsg_type != SCM_RIGHTS) continue;
        const std::size_t count = (each->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; ++i) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(each) + i * sizeof fd, sizeof fd);
            into.emplace_back(fd);
        }
    }
}

}  // namespace

int make_channel(unique_fd& one, unique_fd& other) noexcept {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) return errno;
    one.reset(ends[0]);
    other.reset(ends[1]);
    return 0;
}

int send_message(int channel, std::initializer_list<bytes_view> pieces,
                 std::span<const int> descriptors, bool wait) noexcept {
    std::array<iovec, 4> parts{};
    std::size_t count = 0;
    for (const bytes_view piece : pieces) {
        if (piece.empty() || count == parts.size()) continue;
        parts[count++] = iovec{const_cast<std::byte*>(piece.data()), piece.size()};
    }
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = count;
    control_room control;
    if (!descriptors.empty()) {
        if (descriptors.size() > most_received) return E2BIG;
        control = control_room();
        message.msg_control = control.bytes.data();
        message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
        cmsghdr* const head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(descriptors.size_bytes());
        std::memcpy(CMSG_DATA(head), descriptors.data(), descriptors.size_bytes());
    }
    const int flags = MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT);
    const auto sent = uninterrupted([&] { return ::sendmsg(channel, &message, flags); });
    return sent < 0 ? errno : 0;
}

received receive_message(int channel, std::span<std::byte> room,
                         std::vector<unique_fd>& descriptors, bool wait) {
    descriptors.reserve(most_received);  // an exception later would lose some
    iovec part{room.data(), room.size()};
    control_room control;
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.bytes.data();
    message.msg_controllen = control.bytes.size();
    const int flags = MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT);
    received got;
    got.bytes = uninterrupted([&] { return ::recvmsg(channel, &message, flags); });
    if (got.bytes < 0) {
        got.bytes = -errno;
        return got;
    }
    take_descriptors(message, descriptors);
    got.descriptors_lost = (message.msg_flags & MSG_CTRUNC) != 0;
    if ((message.msg_flags & MSG_TRUNC) != 0) got.bytes = -EMSGSIZE;
    return got;
}

}  // namespace lariat::detail
