#include "process/manager_wire.hpp"

#include "offload/uninterrupted.hpp"

#include <lariat/base/error.hpp>
#include <lariat/process/remote_error.hpp>
#include <lariat/process/wire.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

namespace lariat::detail {

namespace {

struct control_room {
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> bytes{};
};

void keep_descriptors(msghdr& message, parcel& with) {
    for (cmsghdr* each = CMSG_FIRSTHDR(&message); each != nullptr;
         each = CMSG_NXTHDR(&message, each)) {
        if (each->cmsg_level != SOL_SOCKET || each->cmsg_type != SCM_RIGHTS) continue;
        int number = -1;
        std::memcpy(&number, CMSG_DATA(each), sizeof number);
        with.descriptors.push_back(unique_fd(number));
    }
}

}  // namespace

door_pair make_door() {
    std::array<int, 2> made{};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, made.data()) != 0)
        throw_error(system_code(-errno), "reaching a manager");
    door_pair door;
    door.ours = unique_fd(made[0]);
    door.theirs = unique_fd(made[1]);
    return door;
}

int send_through_door(int door, door_message message, parcel& with,
                      door_patience patience) noexcept {
    if (!with.references.empty()) message.reference = with.references.front().id();
    std::array<iovec, 2> parts{iovec{&message, sizeof message},
                               iovec{with.bytes.data(), with.bytes.size()}};
    control_room control;
    msghdr head{};
    head.msg_iov = parts.data();
    head.msg_iovlen = parts.size();
    if (!with.descriptors.empty()) {
        head.msg_control = control.bytes.data();
        head.msg_controllen = control.bytes.size();
        cmsghdr* const rights = CMSG_FIRSTHDR(&head);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(sizeof(int));
        const int number = with.descriptors.front().get();
        std::memcpy(CMSG_DATA(rights), &number, sizeof number);
    }
    for (;;) {
        const auto sent =
            uninterrupted([&] { return ::sendmsg(door, &head, MSG_DONTWAIT | MSG_NOSIGNAL); });
        if (sent >= 0) break;
        if (errno != EAGAIN || patience == door_patience::none) return -errno;
        pollfd room{door, POLLOUT, 0};
        (void)uninterrupted([&] { return ::poll(&room, 1, -1); });
    }
    with.descriptors.clear();
    for (transit_ref& each : with.references) (void)each.release();
    return 0;
}

int receive_through_door(int door, door_message& message, parcel& with) {
    std::array<std::byte, most_door_bytes> bytes{};
    std::array<iovec, 2> parts{iovec{&message, sizeof message}, iovec{bytes.data(), bytes.size()}};
    control_room control;
    msghdr head{};
    head.msg_iov = parts.data();
    head.msg_iovlen = parts.size();
    head.msg_control = control.bytes.data();
    head.msg_controllen = control.bytes.size();
    const auto got =
        uninterrupted([&] { return ::recvmsg(door, &head, MSG_DONTWAIT | MSG_CMSG_CLOEXEC); });
    if (got < 0) return errno == ECONNRESET ? 0 : -errno;
    keep_descriptors(head, with);
    if (got == 0) return 0;
    if (static_cast<std::size_t>(got) < sizeof message || (head.msg_flags & MSG_TRUNC) != 0)
        return -EBADMSG;
    with.bytes.assign(bytes.begin(), bytes.begin() + (got - static_cast<ssize_t>(sizeof message)));
    if (message.reference != 0) with.references.emplace_back(message.reference);
    return 1;
}

void manager_seed::pack_into(parcel_writer& to) && {
    write_value(to, identity.number);
    write_value(to, std::move(identity.name));
    to.attach(std::move(door));
    const bool listens = static_cast<bool>(listener);
    write_value(to, listens);
    if (listens) to.attach(std::move(listener));
    write_value(to, std::move(path));
    write_value(to, std::uint64_t{file.device});
    write_value(to, std::uint64_t{file.number});
    write_value(to, std::move(authkey));
    write_value(to, max_message);
    write_value(to, handshake_time);
    write_value(to, brief_spin);
}

manager_seed manager_seed::unpack_from(parcel_reader& from) {
    manager_seed seed;
    seed.identity.number = read_value<std::array<std::uint64_t, 2>>(from);
    seed.identity.name = read_value<std::string>(from);
    seed.door = from.take_descriptor(typeid(manager_seed));
    const bool listens = read_value<bool>(from);
    if (listens) seed.listener = from.take_descriptor(typeid(manager_seed));
    seed.path = read_value<std::string>(from);
    seed.file.device = read_value<std::uint64_t>(from);
    seed.file.number = read_value<std::uint64_t>(from);
    seed.authkey = read_value<std::string>(from);
    seed.max_message = read_value<std::uint64_t>(from);
    seed.handshake_time = read_value<std::chrono::milliseconds>(from);
    seed.brief_spin = read_value<bool>(from);
    return seed;
}

parcel pack_thrown(const std::exception_ptr& thrown) {
    parcel packed;
    parcel_writer to(packed);
    carry(thrown).pack_into(to);
    return packed;
}

}  // namespace lariat::detail
