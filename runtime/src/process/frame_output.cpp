#include "process/frame_output.hpp"

#include "offload/uninterrupted.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <new>
#include <span>
#include <utility>

#include <sys/socket.h>
#include <sys/uio.h>

namespace lariat::detail {

namespace {

constexpr std::size_t most_parts = 96;
constexpr std::size_t most_at_once = std::size_t{1} << 20;

// The ids go out as they lie in the references.
static_assert(sizeof(transit_ref) == sizeof(std::uint64_t));

/// What one call sends: stretches of many messages, and the first one's descriptors.
class batch {
 public:
    /// False if the call takes no more.
    bool add(const outgoing& item) noexcept {
        const bool attaches = item.header.descriptors != 0 && !item.begun();
        if (attaches && count_ != 0) return false;
        std::size_t skip = item.sent;
        part(&item.header, sizeof item.header, skip);
        part(item.body.data(), item.body.size(), skip);
        part(item.what.references.data(), item.what.references.size() * sizeof(transit_ref), skip);
        if (attaches) attached_ = item.what.descriptors;
        return count_ + 3 <= most_parts && bytes_ < most_at_once;
    }
    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

    [[nodiscard]] std::ptrdiff_t send(int socket, patience how) noexcept {
        const int flags = MSG_NOSIGNAL | (how == patience::none ? MSG_DONTWAIT : 0);
        msghdr message{};
        message.msg_iov = parts_.data();
        message.msg_iovlen = count_;
        if (attached_.empty()) return call(socket, message, flags);
        alignas(cmsghdr) std::array<char, CMSG_SPACE(most_frame_descriptors * sizeof(int))> control;
        std::memset(control.data(), 0, control.size());
        message.msg_control = control.data();
        message.msg_controllen = CMSG_SPACE(attached_.size() * sizeof(int));
        cmsghdr* const head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(attached_.size() * sizeof(int));
        for (std::size_t i = 0; i < attached_.size(); ++i) {
            const int number = attached_[i].get();
            std::memcpy(CMSG_DATA(head) + i * sizeof number, &number, sizeof number);
        }
        return call(socket, message, flags);
    }

 private:
    void part(const void* data, std::size_t size, std::size_t& skip) noexcept {
        const std::size_t gone = std::min(skip, size);
        skip -= gone;
        if (gone == size) return;
        auto* const at = static_cast<std::byte*>(const_cast<void*>(data)) + gone;
        parts_[count_++] = iovec{at, size - gone};
        bytes_ += size - gone;
    }
    static std::ptrdiff_t call(int socket, const msghdr& message, int flags) noexcept {
        const auto sent = uninterrupted([&] { return ::sendmsg(socket, &message, flags); });
        return sent < 0 ? -errno : sent;
    }

    std::array<iovec, most_parts> parts_;
    std::size_t count_ = 0;
    std::size_t bytes_ = 0;
    std::span<const unique_fd> attached_;
};

bool peer_is_gone(std::ptrdiff_t result) noexcept {
    return result == -EPIPE || result == -ECONNRESET || result == -ENOTCONN;
}

}  // namespace

outgoing::outgoing(parcel&& message, shared_bytes others)
    : what(std::move(message)),
      shared(std::move(others)),
      body(shared != nullptr ? *shared : what.bytes) {
    header.bytes = body.size();
    header.descriptors = static_cast<std::uint32_t>(what.descriptors.size());
    header.references = static_cast<std::uint32_t>(what.references.size());
}

outgoing::outgoing(bytes borrowed) noexcept : body(borrowed) { header.bytes = body.size(); }

void frame_output::push(outgoing& item) noexcept {
    queue_.push_back(item);
    bytes_ += item.total();
}

void frame_output::remove(outgoing& item) noexcept {
    item.unlink();
    bytes_ -= item.total() - item.sent;
    item.sender = nullptr;
}

bool frame_output::let_go(outgoing& item) noexcept {
    if (item.body.data() != item.what.bytes.data()) {
        try {
            item.what.bytes.assign(item.body.data(), item.body.data() + item.body.size());
        } catch (const std::bad_alloc&) {
            return false;
        }
        item.body = bytes(item.what.bytes);
    }
    item.sender = nullptr;
    item.kept = false;
    return true;
}

int frame_output::send(int socket, const cell_ref& carrier, patience how) noexcept {
    while (!queue_.empty()) {
        batch now;
        for (outgoing& item : queue_) {
            if (!item.entrusted && carrier)
                for (const transit_ref& each : item.what.references) entrust(each, carrier);
            item.entrusted = true;
            if (!now.add(item)) break;
        }
        const std::ptrdiff_t sent = now.send(socket, how);
        if (sent == -EAGAIN) return would_block_here;
        if (sent >= 0) {
            took(static_cast<std::size_t>(sent));
            continue;
        }
        const outgoing& first = queue_.front();
        if (peer_is_gone(sent) || first.begun() || !first.kept) return static_cast<int>(sent);
        finish(queue_.front(), static_cast<std::int32_t>(sent));
    }
    return 0;
}

void frame_output::took(std::size_t count) noexcept {
    while (count != 0) {
        outgoing& item = queue_.front();
        const std::size_t part = std::min(count, item.total() - item.sent);
        item.sent += part;
        bytes_ -= part;
        count -= part;
        item.what.descriptors.clear();  // they went with the first byte
        if (item.sent == item.total()) finish(item, 0);
    }
}

void frame_output::finish(outgoing& item, std::int32_t failure) noexcept {
    item.unlink();
    bytes_ -= item.total() - item.sent;
    if (item.begun())  // the message owns them now, or its carrier does
        for (transit_ref& each : item.what.references) (void)each.release();
    item.failure = failure;
    item.done = true;
    if (item.sender != nullptr) std::exchange(item.sender, nullptr)->wake();
    if (!item.kept) delete &item;
}

void frame_output::fail_all(std::int32_t failure) noexcept {
    while (!queue_.empty()) finish(queue_.front(), failure);
}

void frame_output::fail_waiting(std::int32_t failure) noexcept {
    list<outgoing> others;
    while (!queue_.empty()) {
        outgoing& item = queue_.front();
        if (item.kept && !item.begun()) {
            finish(item, failure);
        } else {
            others.push_back(queue_.pop_front());
        }
    }
    queue_.splice_back(others);
}

void frame_output::abandon() noexcept { fail_all(-ECANCELED); }

}  // namespace lariat::detail
