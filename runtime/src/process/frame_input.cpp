#include "process/frame_input.hpp"

#include "offload/uninterrupted.hpp"

#include <lariat/base/error.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

#include <sys/socket.h>
#include <sys/uio.h>

namespace lariat::detail {

namespace {

constexpr std::size_t large_step = 256 * 1024;  // zeroed, then received into, while it is in cache
constexpr std::size_t most_at_once = std::size_t{64} << 20;

/// No sender of ours makes such.
bool senseless(const frame_header& header) noexcept {
    return header.bytes > (std::uint64_t{1} << 47) || header.descriptors > most_frame_descriptors ||
           header.references > (1U << 28);
}

std::uint64_t id_at(const std::byte* where) noexcept {
    std::uint64_t id = 0;
    std::memcpy(&id, where, sizeof id);
    return id;
}

}  // namespace

int frame_input::receive(int socket, patience how) noexcept {
    if (damaged_ || ended_) return 0;
    try {
        make_room();
    } catch (const std::bad_alloc&) {
        return -ENOMEM;
    }
    std::array<iovec, 2> parts{};
    std::size_t count = 0;
    if (large_) parts[count++] = iovec{body_.data() + filled_, body_.size() - filled_};
    if (!large_ || body_.size() == header_.rest())
        parts[count++] = iovec{room_.get() + end_, capacity - end_};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(most_frame_descriptors * sizeof(int))> control;
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = count;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const int flags = MSG_CMSG_CLOEXEC | (how == patience::none ? MSG_DONTWAIT : 0);
    const auto got = uninterrupted([&] { return ::recvmsg(socket, &message, flags); });
    if (got < 0 && errno == EAGAIN) {
        drained_ = true;
        return would_block_here;
    }
    // A peer that closed with unread messages of ours: what it had sent was received before.
    if (got == 0 || (got < 0 && errno == ECONNRESET)) {
        ended_ = true;
        return 0;
    }
    if (got < 0) return -errno;
    const bool has_set =
        CMSG_FIRSTHDR(&message) != nullptr || (message.msg_flags & MSG_CTRUNC) != 0;
    if (has_set) keep_descriptors(message);
    if (only_bytes_) sets_.clear();
    const auto bytes = static_cast<std::size_t>(got);
    drained_ = !has_set && bytes < parts[0].iov_len + parts[1].iov_len;
    arrived(bytes);
    return 0;
}

void frame_input::make_room() {
    sets_.reserve(sets_.size() + 1);
    if (room_ == nullptr) room_ = std::make_unique_for_overwrite<std::byte[]>(capacity);
    if (!large_ && known_ && sizeof header_ + header_.rest() > capacity) begin_large();
    if (large_) {
        if (filled_ < body_.size()) return;
        const std::size_t total = header_.rest();
        if (body_.size() == body_.capacity())
            body_.reserve(std::min(total, std::max(most_at_once, 2 * body_.size())));
        body_.resize(std::min({total, body_.size() + large_step, body_.capacity()}));
    } else if (begin_ != 0) {
        std::memmove(room_.get(), room_.get() + begin_, end_ - begin_);
        end_ -= std::exchange(begin_, 0);
    }
}

void frame_input::begin_large() {
    const std::size_t have = end_ - begin_ - sizeof header_;
    body_.reserve(std::min(header_.rest(), most_at_once));
    const std::byte* const from = room_.get() + begin_ + sizeof header_;
    body_.assign(from, from + have);
    filled_ = have;
    begin_ = end_ = 0;
    large_ = true;
}

void frame_input::arrived(std::size_t count) noexcept {
    if (large_) {
        const std::size_t own = std::min(count, body_.size() - filled_);
        filled_ += own;
        count -= own;
        complete_ = filled_ == header_.rest();
    }
    end_ += count;
    if (!large_) look();
}

void frame_input::look() noexcept {
    known_ = end_ - begin_ >= sizeof header_;
    if (!known_) return;
    std::memcpy(&header_, room_.get() + begin_, sizeof header_);
    damaged_ = senseless(header_) ||
               (only_bytes_ && (header_.descriptors != 0 || header_.references != 0));
    known_ = !damaged_;
    complete_ = known_ && end_ - begin_ - sizeof header_ >= header_.rest();
}

// They are open in this process already, so from here on they are owned whatever happens.
void frame_input::keep_descriptors(msghdr& message) noexcept {
    descriptor_set& set = sets_.emplace_back();  // make_room made room
    set.lost = (message.msg_flags & MSG_CTRUNC) != 0;
    for (cmsghdr* each = CMSG_FIRSTHDR(&message); each != nullptr;
         each = CMSG_NXTHDR(&message, each)) {
        if (each->cmsg_level != SOL_SOCKET || each->cmsg_type != SCM_RIGHTS) continue;
        const std::size_t count = (each->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; ++i) {
            int number = -1;
            std::memcpy(&number, CMSG_DATA(each) + i * sizeof number, sizeof number);
            unique_fd owned(number);
            try {
                set.owned.push_back(std::move(owned));
            } catch (const std::bad_alloc&) {
                set.lost = true;
            }
        }
    }
}

const std::byte* frame_input::body() const noexcept {
    return large_ ? body_.data() : room_.get() + begin_ + sizeof header_;
}

std::span<const std::byte> frame_input::bytes() const noexcept { return {body(), size()}; }

frame_input::descriptor_set frame_input::next_set() noexcept {
    descriptor_set set;
    if (header_.descriptors == 0 || sets_.empty()) return set;
    set = std::move(sets_.front());
    sets_.erase(sets_.begin());
    return set;
}

parcel frame_input::take() {
    parcel taken;
    taken.references.reserve(header_.references);
    const std::byte* const ids = body() + header_.bytes;
    if (!large_) taken.bytes.assign(body(), ids);
    for (std::size_t i = 0; i < header_.references; ++i)
        taken.references.emplace_back(id_at(ids + i * sizeof(std::uint64_t)));
    descriptor_set set = next_set();
    const bool lost = set.lost || set.owned.size() != header_.descriptors;
    taken.descriptors = std::move(set.owned);
    if (large_) {
        body_.resize(header_.bytes);
        taken.bytes = std::move(body_);
    }
    advance();
    if (lost)
        throw_error(system_code(-EMFILE),
                    "receiving a message: this process has no room for its descriptors");
    return taken;
}

void frame_input::drop() noexcept {
    const std::byte* const ids = body() + header_.bytes;
    for (std::size_t i = 0; i < header_.references; ++i)
        give_back_transit(id_at(ids + i * sizeof(std::uint64_t)));
    (void)next_set();
    advance();
}

void frame_input::advance() noexcept {
    if (large_) {
        body_ = std::vector<std::byte>();
        large_ = false;
    } else {
        begin_ += sizeof header_ + header_.rest();
        if (begin_ == end_) begin_ = end_ = 0;
    }
    complete_ = false;
    look();
}

void frame_input::pack_into(parcel_writer& to) && {
    to.append(&large_, 1);
    if (large_) {
        to.append(&header_, sizeof header_);
        to.append_size(filled_);
        to.append(body_.data(), filled_);
    }
    to.append_size(end_ - begin_);
    if (end_ != begin_) to.append(room_.get() + begin_, end_ - begin_);
    to.append_size(sets_.size());
    for (descriptor_set& set : sets_) {
        to.append_size(set.owned.size());
        to.append(&set.lost, 1);
        for (unique_fd& each : set.owned) to.attach(std::move(each));
    }
    *this = frame_input();
}

frame_input frame_input::unpack_from(parcel_reader& from) {
    const std::type_info& self = typeid(frame_input);
    const auto take_flag = [&] {
        unsigned char flag = 0;
        from.take(&flag, 1, self);
        return flag != 0;
    };
    frame_input made;
    if (take_flag()) {
        from.take(&made.header_, sizeof made.header_, self);
        made.filled_ = from.take_size(1, self);
        if (senseless(made.header_) || made.filled_ > made.header_.rest())
            from.refuse(self, "more of a message than there is of it");
        made.body_.resize(made.filled_);
        from.take(made.body_.data(), made.filled_, self);
        made.large_ = made.known_ = true;
        made.complete_ = made.filled_ == made.header_.rest();
    }
    made.end_ = from.take_size(1, self);
    if (made.end_ > capacity) from.refuse(self, "more than was received");
    if (made.end_ != 0) {
        made.room_ = std::make_unique_for_overwrite<std::byte[]>(capacity);
        from.take(made.room_.get(), made.end_, self);
        if (!made.large_) made.look();
    }
    const std::size_t sets = from.take_size(sizeof(std::uint64_t) + 1, self);
    for (std::size_t i = 0; i < sets; ++i) {
        descriptor_set& set = made.sets_.emplace_back();
        std::uint64_t owned = 0;
        from.take(&owned, sizeof owned, self);
        set.lost = take_flag();
        for (std::uint64_t j = 0; j < owned; ++j) set.owned.push_back(from.take_descriptor(self));
    }
    return made;
}

}  // namespace lariat::detail
