#include "driver/sim/sim_network.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>

namespace lariat::detail {

sim_network::endpoint* sim_network::find(int fd) const noexcept {
    const auto index = static_cast<std::size_t>(fd) - first_descriptor;
    return fd >= first_descriptor && index < descriptors_.size() ? descriptors_[index].get()
                                                                 : nullptr;
}

int sim_network::adopt(std::unique_ptr<endpoint> item) {
    std::size_t index = descriptors_.size();
    if (free_.empty()) {
        descriptors_.emplace_back();
    } else {
        index = free_.top();
        free_.pop();
    }
    item->fd = first_descriptor + static_cast<int>(index);
    descriptors_[index] = std::move(item);
    ++open_;
    return descriptors_[index]->fd;
}

sim_network::endpoint* sim_network::listener_on(std::uint16_t port) const noexcept {
    const auto found = ports_.find(port);
    return found == ports_.end() ? nullptr : found->second.listener;
}

int sim_network::socket() {
    auto item = std::make_unique<endpoint>();
    item->link = new_link_;
    return adopt(std::move(item));
}

int sim_network::listen(std::uint16_t port, int backlog) {
    if (port == 0) {
        while (listener_on(next_port_) != nullptr) ++next_port_;
        port = next_port_++;
    }
    if (listener_on(port) != nullptr) return -EADDRINUSE;
    auto item = std::make_unique<endpoint>();
    item->is = role::listener;
    item->port = port;
    item->backlog = static_cast<std::size_t>(std::max(backlog, 1));
    const int fd = adopt(std::move(item));
    ports_[port].listener = find(fd);
    return fd;
}

std::pair<int, int> sim_network::socket_pair(std::size_t capacity) {
    const int one = socket();
    const int other = socket();
    join(*find(one), *find(other));
    find(one)->link.capacity = find(other)->link.capacity = capacity;
    return {one, other};
}

std::uint16_t sim_network::port_of(int listener) const {
    const endpoint* item = find(listener);
    return item == nullptr ? std::uint16_t{0} : item->port;
}

void sim_network::join(endpoint& one, endpoint& other) {
    one.is = other.is = role::stream;
    one.peer = &other;
    other.peer = &one;
}

void sim_network::touch(endpoint* item) {
    if (item == nullptr || item->fd < 0 || item->touched) return;
    item->touched = true;
    touched_.push_back(item->fd);
}

void sim_network::touch_at(time_point due, int fd) { events_.push({due, fd}); }

std::vector<int> sim_network::take_touched() {
    for (const int fd : touched_)
        if (endpoint* item = find(fd)) item->touched = false;
    return std::exchange(touched_, {});
}

time_point sim_network::next_event() const noexcept {
    return events_.empty() ? forever : events_.top().due;
}

void sim_network::advance(time_point to) {
    now_ = std::max(now_, to);
    for (; !events_.empty() && events_.top().due <= now_; events_.pop())
        touch(find(events_.top().fd));
}

void sim_network::transmit(endpoint& from, segment_kind kind, std::string bytes) {
    endpoint& to = *from.peer;
    from.last_due = std::max(from.last_due, saturating_add(now_, from.link.latency));
    to.inbound_bytes += bytes.size();
    to.inbound.push_back({kind, from.last_due, std::move(bytes)});
    if (from.last_due > now_)
        touch_at(from.last_due, to.fd);
    else
        touch(&to);
}

int sim_network::connect(int fd, const sockaddr* to, std::uint32_t length) {
    endpoint* item = find(fd);
    if (item == nullptr) return -EBADF;
    if (item->is != role::unconnected) return -EISCONN;
    if (length < sizeof(sockaddr_in)) return -EINVAL;
    if (to->sa_family != AF_INET) return -EAFNOSUPPORT;
    sockaddr_in address;
    std::memcpy(&address, to, sizeof address);
    const std::uint16_t to_port = ntohs(address.sin_port);
    if (item->connecting && item->port != to_port) return -EALREADY;
    if (!item->connecting) {
        ports_[to_port].connecting.insert(fd);
        item->connecting = true;
        item->port = to_port;
        item->connected_at = saturating_add(now_, item->link.latency);
        if (item->connected_at > now_) touch_at(item->connected_at, fd);
    }
    if (item->connected_at > now_) return would_block;
    endpoint* listener = listener_on(item->port);
    if (listener == nullptr) {
        stop_connecting(*item);
        return -ECONNREFUSED;
    }
    if (listener->pending.size() >= listener->backlog) return would_block;
    auto accepted = std::make_unique<endpoint>();
    accepted->link = new_link_;
    join(*item, *accepted);
    stop_connecting(*item);
    listener->pending.push_back(std::move(accepted));
    touch(listener);
    touch(item);
    return 0;
}

int sim_network::accept(int fd) {
    endpoint* listener = find(fd);
    if (listener == nullptr) return -EBADF;
    if (listener->is != role::listener) return -EINVAL;
    if (listener->pending.empty()) return would_block;
    if (open_ >= limit_) return -EMFILE;
    std::unique_ptr<endpoint> item = std::move(listener->pending.front());
    listener->pending.pop_front();
    endpoint& fresh = *item;
    adopt(std::move(item));
    // While it had no number, nothing could be said about what is still under way to it.
    for (const segment& s : fresh.inbound)
        if (!due(s)) touch_at(s.due, fresh.fd);
    wake_connectors(listener->port);
    return fresh.fd;
}

void sim_network::stop_connecting(endpoint& item) {
    if (!item.connecting) return;
    item.connecting = false;
    const auto found = ports_.find(item.port);
    found->second.connecting.erase(item.fd);
    if (found->second.listener == nullptr && found->second.connecting.empty()) ports_.erase(found);
}

void sim_network::wake_connectors(std::uint16_t port) {
    const auto found = ports_.find(port);
    if (found == ports_.end()) return;
    for (const int fd : found->second.connecting) touch(find(fd));
}

bool sim_network::reset_due(const endpoint& item) const noexcept {
    return std::any_of(item.inbound.begin(), item.inbound.end(), [this](const segment& s) {
        return s.kind == segment_kind::reset && due(s);
    });
}

// How many bytes a send may take now, 0 when it has to wait, or a negated errno.
int sim_network::send_room(const endpoint& item) const noexcept {
    if (item.is == role::unconnected) return item.connecting ? 0 : -ENOTCONN;
    if (item.is == role::listener) return -ENOTCONN;
    if (reset_due(item)) return -ECONNRESET;
    if (item.write_closed || item.peer == nullptr || item.peer->read_closed) return -EPIPE;
    const std::size_t used = std::min(item.peer->inbound_bytes, item.link.capacity);
    return static_cast<int>(std::min<std::size_t>(item.link.capacity - used, INT_MAX));
}

int sim_network::send(int fd, const void* bytes, std::size_t count) {
    endpoint* item = find(fd);
    if (item == nullptr) return -EBADF;
    const int room = send_room(*item);
    if (room == -ECONNRESET) {  // told once, here or by recv; what arrived before it stays readable
        std::erase_if(item->inbound,
                      [](const segment& s) { return s.kind == segment_kind::reset; });
        item->read_closed = true;
    }
    if (room < 0) return room;
    if (count == 0) return 0;
    if (room == 0) return would_block;
    const std::size_t taken = std::min(count, static_cast<std::size_t>(room));
    transmit(*item, segment_kind::data, std::string(static_cast<const char*>(bytes), taken));
    return static_cast<int>(taken);
}

int sim_network::recv(int fd, void* buffer, std::size_t count, int flags) {
    endpoint* item = find(fd);
    if (item == nullptr) return -EBADF;
    if (item->is != role::stream) return item->connecting ? would_block : -ENOTCONN;
    const std::size_t chunk = item->peer != nullptr ? item->peer->link.chunk : ~std::size_t{0};
    const std::size_t most = std::min(count, chunk);
    std::size_t got = 0;
    auto at = item->inbound.begin();  // beyond that only when peeking
    while (got < most && at != item->inbound.end()) {
        segment& s = *at;
        if (!due(s) || s.kind != segment_kind::data) break;
        const std::size_t part = std::min(most - got, s.bytes.size());
        std::memcpy(static_cast<char*>(buffer) + got, s.bytes.data(), part);
        got += part;
        if ((flags & MSG_PEEK) != 0) {
            ++at;
            continue;
        }
        item->inbound_bytes -= part;
        s.bytes.erase(0, part);
        if (s.bytes.empty()) at = item->inbound.erase(at);
    }
    if (got > 0) {
        touch(item->peer);
        return static_cast<int>(got);
    }
    if (count == 0) return 0;
    if (item->inbound.empty() || !due(item->inbound.front()))
        return item->read_closed ? 0 : would_block;
    if (item->inbound.front().kind == segment_kind::end) return 0;
    item->inbound.clear();
    item->read_closed = true;
    return -ECONNRESET;
}

int sim_network::shutdown(int fd, int how) {
    endpoint* item = find(fd);
    if (item == nullptr) return -EBADF;
    if (item->is != role::stream) return -ENOTCONN;
    if (how != SHUT_WR) item->read_closed = true;
    if (how != SHUT_RD && !item->write_closed) {
        item->write_closed = true;
        if (item->peer != nullptr) transmit(*item, segment_kind::end, {});
    }
    touch(item);
    touch(item->peer);
    return 0;
}

// The other end learns of it in order, behind the bytes that are under way.
void sim_network::part(endpoint& item, segment_kind last_words) {
    if (item.peer == nullptr) return;
    transmit(item, last_words, {});
    touch(item.peer);
    item.peer->peer = nullptr;
    item.peer = nullptr;
}

int sim_network::reset(int fd) {
    endpoint* item = find(fd);
    if (item == nullptr) return -EBADF;
    if (item->is != role::stream) return -ENOTCONN;
    part(*item, segment_kind::reset);
    item->inbound.push_back({segment_kind::reset, now_, {}});
    touch(item);
    return 0;
}

int sim_network::close(int fd) {
    endpoint* item = find(fd);
    if (item == nullptr) return -EBADF;
    const auto last_words = [this](const endpoint& e) {
        const bool unread = !e.inbound.empty() && due(e.inbound.front()) && e.inbound_bytes > 0;
        return unread ? segment_kind::reset : segment_kind::end;
    };
    if (item->is == role::stream) part(*item, last_words(*item));
    for (const auto& waiting : item->pending) part(*waiting, segment_kind::reset);
    stop_connecting(*item);
    if (item->is == role::listener) {
        wake_connectors(item->port);
        const auto own = ports_.find(item->port);
        own->second.listener = nullptr;
        if (own->second.connecting.empty()) ports_.erase(own);
    }
    const auto index = static_cast<std::size_t>(fd - first_descriptor);
    free_.push(index);
    descriptors_[index].reset();
    --open_;
    return 0;
}

int sim_network::ready(int fd) const {
    const endpoint* item = find(fd);
    if (item == nullptr) return POLLNVAL;
    if (item->is == role::listener) return item->pending.empty() ? 0 : POLLIN;
    if (item->is == role::unconnected) return item->connecting ? 0 : POLLOUT | POLLHUP;
    int events = 0;
    const bool arrived = !item->inbound.empty() && due(item->inbound.front());
    if (arrived || item->read_closed) events |= POLLIN;
    if (send_room(*item) != 0) events |= POLLOUT;
    const bool reset = reset_due(*item);
    const bool ended = item->read_closed || reset ||
                       (!item->inbound.empty() && item->inbound.back().kind == segment_kind::end &&
                        due(item->inbound.back()));
    if (ended) events |= POLLRDHUP;
    if (reset) events |= POLLERR;
    if (reset || (ended && item->write_closed)) events |= POLLHUP;
    return events;
}

void sim_network::shape(int fd, const sim_link& link) {
    if (endpoint* item = find(fd)) item->link = link;
}

}  // namespace lariat::detail
