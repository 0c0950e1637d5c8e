#include <lariat/process/message_stream.hpp>

#include "loop/loop_state.hpp"
#include "process/message_state.hpp"
#include "process/poll_timeout.hpp"

#include <lariat/base/error.hpp>
#include <lariat/sync/shared/waiting.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include <poll.h>
#include <sys/socket.h>

namespace lariat {

message_too_long::message_too_long(std::size_t size, std::size_t most)
    : limit_error("a message of " + std::to_string(size) + " bytes where " + std::to_string(most) +
                  " are allowed"),
      size_(size) {}
message_too_long::~message_too_long() = default;

namespace detail {

namespace {

struct message_carrier {
    std::uint64_t unused = 0;
};
const cell_kind carrier_kind{"pipe"};

constexpr const char* receiving = "receiving a message";
constexpr const char* sending = "sending a message";
constexpr int receives_a_leg = 16;  // 1 MiB of small messages, 4 of a large one

/// True when it is ready, or poll(2) itself fails: the call that follows says why.
bool sleep_until_ready(int socket, short events, time_point until) noexcept {
    for (;;) {
        pollfd asked{socket, events, 0};
        const int ready = ::poll(&asked, 1, poll_timeout(until));
        if (ready > 0 || (ready < 0 && errno != EINTR)) return true;
        if (until != forever && clock::now() >= until) return false;
    }
}

}  // namespace

message_ref::message_ref(message_state* state) noexcept : state_(state) {
    if (state_ != nullptr) state_->add_ref();
}

void message_ref::drop() noexcept { state_->drop_ref(); }

// Receiving

const wait_kind message_wait::kind_of_wait{"a message", &message_wait::leave};

message_wait::message_wait(message_state* stream, std::size_t most) noexcept
    : wait_point(kind_of_wait), stream_(stream), most_(most) {
    op::code = op_code::poll;
    op::argument = POLLIN;
    op::complete = &message_wait::ready;
}

message_wait::message_wait(message_wait&& other) noexcept
    : wait_point(static_cast<wait_point&&>(other)),
      op(other),
      stream_(std::move(other.stream_)),
      most_(other.most_) {}

bool message_wait::has_ended() const noexcept {
    const frame_input& in = stream_->in;
    return in.complete() || in.ended() || in.damaged() || (in.known() && in.size() > most_);
}

bool message_wait::advance() noexcept {
    for (int left = receives_a_leg;; --left) {
        if (has_ended()) return true;
        if (left == 0) return false;
        const int received = stream_->in.receive(stream_->socket.get());
        if (received == would_block_here) return false;
        if (received != 0) {
            failure_ = received;
            return true;
        }
    }
}

bool message_wait::ready_now() noexcept {
    if (!stream_ || stream_->closing) return true;
    require(stream_->reading == nullptr, "one task at a time receives from a pipe");
    return advance();
}

bool message_wait::begin() noexcept {
    if (!stream_ || stream_->closing) return false;
    require(stream_->reading == nullptr, "one task at a time receives from a pipe");
    stream_->resume_output();
    // Asked in vain a moment ago, the socket is not asked again: the wait finds out as well.
    if (has_ended() || (!stream_->in.drained() && advance())) return false;
    while (!stream_->wait(*this)) {
        if (op::result < 0) failure_ = op::result;
        if (failure_ != 0 || advance()) return false;
    }
    loop_state::current().expect();
    return true;
}

void message_wait::ready(op& done) noexcept {
    auto& self = static_cast<message_wait&>(done);
    message_state& stream = *self.stream_.operator->();
    while (!stream.closing) {
        if (self.op::result < 0) self.failure_ = self.op::result;
        if (self.failure_ != 0 || self.advance()) break;
        if (self.cut_asked_) {  // ready, and yet there was no whole message
            self.failure_ = -ECANCELED;
            break;
        }
        if (stream.wait(self)) return;
    }
    const bool cut = self.cut_asked_ && self.failure_ == -ECANCELED;
    loop_state::current().expect_no_more();
    stream.waited();
    self.wake(cut ? wake_reason::cut : wake_reason::done);
}

void message_wait::leave(waiter& w) noexcept {
    auto& self = static_cast<message_wait&>(w);
    self.cut_asked_ = true;
    self.stream_->end_wait();
}

bool message_wait::sleep(time_point until) noexcept {
    if (!stream_ || stream_->closing) return true;
    require(stream_->reading == nullptr, "one task or thread at a time receives from a pipe");
    // With no limit the call itself waits: one system call instead of three.
    const patience how = until == forever ? patience::waits : patience::none;
    while (!has_ended()) {
        const int received = stream_->in.receive(stream_->socket.get(), how);
        if (received == would_block_here) {
            if (!sleep_until_ready(stream_->socket.get(), POLLIN, until)) return false;
        } else if (received != 0) {
            failure_ = received;
            break;
        }
    }
    return true;
}

lariat::result<bool> message_wait::finish_nothrow() {
    if (who != nullptr) throw_if_cut();
    if (!stream_ || stream_->closing) return make_error_code(errc::closed);
    const frame_input& in = stream_->in;
    if (in.known() && in.size() > most_) return make_error_code(errc::limit);
    if (in.complete()) return true;
    if (in.damaged()) return std::make_error_code(std::errc::bad_message);
    if (failure_ != 0) return system_code(failure_);
    require(in.ended(), "one task at a time receives from a pipe");  // another took this one's
    if (in.pending() != 0) return make_error_code(errc::incomplete);
    return false;
}

bool message_wait::unless(const lariat::result<bool>& ended) const {
    if (ended) return *ended;
    if (ended.error() == errc::limit) throw message_too_long(stream_->in.size(), most_);
    if (ended.error() == errc::incomplete) throw incomplete_read(receiving, stream_->in.pending());
    throw_error(ended.error(), receiving);
}

parcel message_wait::take() { return stream_->in.take(); }

std::string message_wait::take_text() {
    const std::span<const std::byte> all = stream_->in.bytes();
    std::string text(reinterpret_cast<const char*>(all.data()), all.size());
    stream_->in.drop();
    return text;
}

std::size_t message_wait::take_into(mutable_bytes room) noexcept {
    const std::span<const std::byte> all = stream_->in.bytes();
    if (!all.empty()) std::memcpy(room.data(), all.data(), all.size());
    const std::size_t size = all.size();
    stream_->in.drop();
    return size;
}

std::optional<parcel> message_receive::await_resume() {
    std::optional<parcel> taken;
    const lariat::result<bool> ended = message_wait::finish_nothrow();
    if (unless(ended)) taken = take();
    return taken;
}

lariat::result<std::optional<parcel>> message_receive::finish_nothrow() {
    const lariat::result<bool> ended = message_wait::finish_nothrow();
    if (!ended) return ended.error();
    std::optional<parcel> taken;
    try {
        if (*ended) taken = take();
    } catch (const std::system_error& failure) {
        return failure.code();
    }
    return taken;
}

// Sending

const wait_kind message_send::kind_of_wait{"room to send a message", &message_send::leave};

message_send::message_send(message_state* stream, parcel&& message)
    : wait_point(kind_of_wait), stream_(stream) {
    if (message.descriptors.size() > most_frame_descriptors) refused_ = errc::limit;
    item_ = new outgoing(std::move(message));
}

message_send::message_send(message_state* stream, bytes borrowed)
    : wait_point(kind_of_wait), stream_(stream), item_(new outgoing(borrowed)) {}

message_send::message_send(message_send&& other) noexcept
    : wait_point(static_cast<wait_point&&>(other)),
      stream_(std::move(other.stream_)),
      item_(std::exchange(other.item_, nullptr)),
      refused_(other.refused_) {}

message_send::~message_send() { delete item_; }

bool message_send::begin() noexcept {
    if (refused_) return false;
    refused_ = stream_ ? stream_->refusal() : make_error_code(errc::closed);
    if (refused_) return false;
    stream_->out.push(*item_);
    stream_->flush();
    if (item_->done) return false;
    item_->sender = this;
    return true;
}

void message_send::leave(waiter& w) noexcept {
    auto& self = static_cast<message_send&>(w);
    outgoing& item = *self.item_;
    if (!item.begun()) {
        self.stream_->take_back(item);
        self.wake(wake_reason::cut);
    } else if (self.stream_->out.let_go(item)) {
        self.item_ = nullptr;
        self.wake();
    } else {
        self.stream_->fail_output(-ENOMEM);  // which wakes this one
    }
}

void message_send::sleep() noexcept {
    refused_ = refused_ ? refused_ : stream_ ? stream_->refusal() : make_error_code(errc::closed);
    if (refused_) return;
    message_state& stream = *stream_.operator->();
    require(!stream.armed && !stream.scheduled,
            "a thread sends through a pipe while no task of a loop does");
    stream.out.push(*item_);
    while (!item_->done) {
        const int result = stream.out.send(stream.socket.get(), stream.carrier, patience::waits);
        if (result == would_block_here) {
            (void)sleep_until_ready(stream.socket.get(), POLLOUT, forever);
        } else if (result != 0) {
            stream.fail_output(result);
        }
    }
}

lariat::result<void> message_send::finish_nothrow() {
    if (who != nullptr) throw_if_cut();
    if (refused_) return refused_;
    const std::int32_t failure = item_ != nullptr ? item_->failure : 0;
    if (failure == 0) return {};
    if (failure == -EPIPE || failure == -ECONNRESET || failure == -ECANCELED)
        return make_error_code(errc::closed);
    return system_code(failure);
}

void message_send::await_resume() {
    const lariat::result<void> ended = finish_nothrow();
    if (!ended) throw_error(ended.error(), sending);
}

const wait_kind message_room::kind_of_wait{"messages to be sent", &message_room::leave};

message_room::message_room(message_state* stream, std::size_t most) noexcept
    : line_point(kind_of_wait), stream_(stream), most_(most) {}

bool message_room::must_wait() noexcept {
    if (!stream_ || stream_->refusal()) return false;
    stream_->resume_output();
    if (stream_->out.queued_bytes() <= most_) return false;
    stream_->rooms.push_back(*this);
    return true;
}

void message_room::leave(waiter& w) noexcept {
    static_cast<line_waiter&>(w).unlink();
    w.wake(wake_reason::cut);
}

lariat::result<void> message_room::finish_nothrow() {
    throw_if_cut();
    return stream_ ? stream_->refusal() : make_error_code(errc::closed);
}

// The handle

message_stream::message_stream(unique_fd socket, cell_ref carrier)
    : state_(new message_state(std::move(socket), std::move(carrier))) {}

message_send message_stream::send(parcel message) const { return {state_, std::move(message)}; }

message_send message_stream::send_bytes(bytes borrowed) const { return {state_, borrowed}; }

bool message_stream::push(parcel message, shared_bytes shared) const {
    if (state_ == nullptr || state_->refusal()) return false;
    if (message.descriptors.size() > most_frame_descriptors) return false;
    auto* const item = new outgoing(std::move(message), std::move(shared));
    item->kept = false;
    state_->out.push(*item);
    state_->flush_later();
    return true;
}

message_room message_stream::room(std::size_t most) const noexcept { return {state_, most}; }

message_receive message_stream::receive(std::size_t most) const noexcept {
    return message_receive(state_, most);
}

void message_stream::deliver(message_send& message) {
    message.sleep();
    message.await_resume();
}

void message_stream::send_blocking(parcel message, std::source_location where) const {
    require_no_loop("send_blocking", "co_await x.send(value)", where);
    message_send sends(state_, std::move(message));
    deliver(sends);
}

void message_stream::send_bytes_blocking(bytes borrowed, std::source_location where) const {
    require_no_loop("send_bytes_blocking", "co_await x.send_bytes(bytes)", where);
    message_send sends(state_, borrowed);
    deliver(sends);
}

bool message_stream::wait_blocking(message_wait& wait, time_point until, const char* verb,
                                   const char* instead, std::source_location where) {
    require_no_loop(verb, instead, where);
    return wait.sleep(until);
}

void message_stream::close() const noexcept {
    if (state_ != nullptr) state_->close();
}

int message_stream::descriptor() const noexcept {
    return state_ != nullptr ? state_->socket.get() : -1;
}

message_stream::operator bool() const noexcept { return state_ != nullptr && !state_->closing; }

void message_stream::drop() noexcept {
    state_->close();
    std::exchange(state_, nullptr)->drop_ref();
}

void message_stream::pack_into(parcel_writer& to) && {
    if (!*this) throw_error(make_error_code(errc::closed), "moving a pipe's end");
    if (!state_->idle())
        throw_error(system_code(-EBUSY), "moving a pipe's end: a verb is under way on it");
    const bool carried = static_cast<bool>(state_->carrier);
    transit_ref reference;
    if (carried) reference = state_->carrier.share();
    to.append(&carried, 1);
    std::move(state_->in).pack_into(to);
    if (carried) to.attach(std::move(reference));
    to.attach(std::move(state_->socket));
    drop();
}

message_stream message_stream::unpack_from(parcel_reader& from) {
    unsigned char carried = 0;
    from.take(&carried, 1, typeid(message_stream));
    frame_input in = frame_input::unpack_from(from);
    cell_ref carrier;
    if (carried != 0)
        carrier = cell_ref::take(from.take_reference(typeid(message_stream)), carrier_kind);
    message_stream made(from.take_descriptor(typeid(message_stream)), std::move(carrier));
    made.state_->in = std::move(in);
    return made;
}

message_streams make_message_streams(const char* verb) {
    require_family(verb);
    const cell_ref carrier = make_cell<message_carrier>(carrier_kind);
    std::array<int, 2> made{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, made.data()) != 0)
        throw_error(system_code(-errno), verb);
    unique_fd one(made[0]);
    unique_fd other(made[1]);
    message_streams ends;
    ends.one = message_stream(std::move(one), carrier);
    ends.other = message_stream(std::move(other), carrier);
    return ends;
}

}  // namespace detail
}  // namespace lariat
