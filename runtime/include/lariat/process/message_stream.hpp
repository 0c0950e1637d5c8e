#pragma once

#include <lariat/base/buffer.hpp>
#include <lariat/base/clock.hpp>
#include <lariat/base/config.hpp>
#include <lariat/base/result.hpp>
#include <lariat/base/unique_fd.hpp>
#include <lariat/driver/op.hpp>
#include <lariat/process/arena.hpp>
#include <lariat/process/parcel.hpp>
#include <lariat/task/promise.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <source_location>
#include <string>
#include <system_error>
#include <utility>

namespace lariat {

/// A message is longer than its receiver allowed. It is still there, to be received with more room.
class LARIAT_EXPORT message_too_long : public limit_error {
 public:
    message_too_long(std::size_t size, std::size_t most);
    ~message_too_long() override;
    /// Bytes of the message.
    [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
    std::size_t size_;
};

namespace detail {

struct message_state;
struct outgoing;

inline constexpr std::size_t any_size = std::numeric_limits<std::size_t>::max();

/// A counted reference: a stream's handle may go, in another task, before its verb has ended.
class LARIAT_EXPORT message_ref {
 public:
    message_ref() noexcept = default;
    explicit message_ref(message_state* state) noexcept;
    message_ref(message_ref&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
    message_ref& operator=(message_ref&&) = delete;
    ~message_ref() {
        if (state_ != nullptr) drop();
    }

    [[nodiscard]] message_state* operator->() const noexcept { return state_; }
    [[nodiscard]] explicit operator bool() const noexcept { return state_ != nullptr; }

 private:
    void drop() noexcept;
    message_state* state_ = nullptr;
};

/// Waits until a message is there, whole, or is known to be too long, or the end has come.
class LARIAT_EXPORT message_wait : public wait_point, public single_step, private op {
 public:
    /// Longer messages than `most` stay where they are.
    explicit message_wait(message_state* stream, std::size_t most = any_size) noexcept;
    message_wait(message_wait&& other) noexcept;

    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
        party& p = party_of(frame);
        who = &p;
        if (!begin()) return pass(p, frame);
        park(p, frame);
        return true;
    }
    /// Whether an await would not suspend; asks the socket.
    [[nodiscard]] bool ready_now() noexcept;

    /// True: a message; false: the end. Errors: as message_stream::receive's.
    [[nodiscard]] lariat::result<bool> finish_nothrow();
    bool await_resume() { return unless(finish_nothrow()); }

 protected:
    /// Throws what belongs to an error of finish_nothrow().
    [[nodiscard]] bool unless(const lariat::result<bool>& ended) const;
    /// Pre for these: it ended with true.
    [[nodiscard]] parcel take();
    [[nodiscard]] std::string take_text();
    [[nodiscard]] std::size_t take_into(mutable_bytes room) noexcept;

 private:
    friend class message_stream;

    /// True if it waits.
    [[nodiscard]] bool begin() noexcept;
    /// Receives until there is something to end with, or nothing more to receive.
    [[nodiscard]] bool advance() noexcept;
    [[nodiscard]] bool has_ended() const noexcept;
    /// Without a loop. False: `until` has come.
    [[nodiscard]] bool sleep(time_point until) noexcept;
    static void ready(op& done) noexcept;
    static void leave(waiter& w) noexcept;
    static const wait_kind kind_of_wait;

    message_ref stream_;
    std::size_t most_;
    std::int32_t failure_ = 0;  ///< a negated errno
    bool cut_asked_ = false;
};

class LARIAT_EXPORT message_receive : public message_wait {
 public:
    using message_wait::message_wait;
    std::optional<parcel> await_resume();
    lariat::result<std::optional<parcel>> finish_nothrow();
};

/// Waits until a message is with the kernel.
class LARIAT_EXPORT message_send : public wait_point, public single_step {
 public:
    message_send(message_state* stream, parcel&& message);
    message_send(message_state* stream, bytes borrowed);
    message_send(message_send&& other) noexcept;
    ~message_send();

    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
        party& p = party_of(frame);
        who = &p;
        if (!begin()) return pass(p, frame);
        park(p, frame);
        return true;
    }
    void await_resume();
    lariat::result<void> finish_nothrow();

 private:
    friend class message_stream;

    /// True if it waits.
    [[nodiscard]] bool begin() noexcept;
    void sleep() noexcept;
    static void leave(waiter& w) noexcept;
    static const wait_kind kind_of_wait;

    message_ref stream_;
    outgoing* item_ = nullptr;  // nullptr: it has begun, and goes out without us
    std::error_code refused_;
};

/// Waits until no more than so many bytes wait to be sent.
class LARIAT_EXPORT message_room : public line_point, public single_step {
 public:
    message_room(message_state* stream, std::size_t most) noexcept;

    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
        party& p = party_of(frame);
        if (!must_wait()) return pass(p, frame);
        park(p, frame);
        return true;
    }
    void await_resume() { finish_nothrow().value("sending"); }
    lariat::result<void> finish_nothrow();

 private:
    friend struct message_state;

    [[nodiscard]] bool must_wait() noexcept;
    static void leave(waiter& w) noexcept;
    static const wait_kind kind_of_wait;

    message_ref stream_;
    std::size_t most_;
};

/// One end of a stream of messages between two processes: a Unix socket that carries parcels.
///
/// Order        messages go and come in order; one task receives at a time (asserted), several may
///              send
/// Threads      one at a time. Tasks that wait belong to one loop; while none does, another loop or
///              a thread without one may go on
/// Lifetime     free of its verbs': when the handle goes they fail with closed_error, and what has
///              begun, or was pushed, goes out as long as its loop lives. The other end sees the
///              end when this one goes, however it goes
/// Allocation   one record an end, one a message sent, a message's own, 64 KiB for what is received
/// Limits       253 descriptors a message (limit_error); its bytes by memory
///
/// A reference to a shared object that is under way is held by the stream's carrier, and so given
/// back when both ends have gone and nobody has read the message.
class LARIAT_EXPORT message_stream {
 public:
    /// Empty: every verb reports closed_error.
    message_stream() noexcept = default;
    /// Takes over a connected stream socket. `carrier` may be empty: then references are their
    /// sender's until they are taken.
    explicit message_stream(unique_fd socket, cell_ref carrier = {});
    message_stream(message_stream&& other) noexcept
        : state_(std::exchange(other.state_, nullptr)) {}
    message_stream& operator=(message_stream&& other) noexcept {
        message_stream gone(std::move(*this));
        state_ = std::exchange(other.state_, nullptr);
        return *this;
    }
    ~message_stream() {
        if (state_ != nullptr) drop();
    }

    /// Suspends until the message is with the kernel · Errors: closed_error, also when the other
    /// end has gone; limit_error; std::system_error (what the kernel has against this message
    /// alone, as too many descriptors under way; the next may go) · Cancel: nothing was sent; but a
    /// message that has begun counts as sent, and the rest of it follows · Cost: one system call,
    /// shared by all that wait.
    [[nodiscard]] message_send send(parcel message) const;
    /// Borrows the bytes until it has ended.
    [[nodiscard]] message_send send_bytes(bytes borrowed) const;
    /// Does not wait: the message goes out when what is ready now has run, with all others that
    /// were pushed by then in one call. Returns false if it cannot be sent: closed, the other end
    /// gone, or too many descriptors. If the kernel refuses it after that, the stream ends: nobody
    /// would hear of a gap. With `shared`, those are the message's bytes, held until it is out.
    /// Pre: a loop runs here; the message then has no bytes of its own.
    bool push(parcel message, shared_bytes shared = nullptr) const;
    /// Suspends while more than so many bytes wait to be sent · Errors: closed_error · Cancel:
    /// nothing happened.
    [[nodiscard]] message_room room(std::size_t most = 0) const noexcept;

    /// Suspends until a message is there · Returns it; empty at the end · Errors: message_too_long,
    /// if it has more bytes than `most`; incomplete_read, if the other end broke off inside one;
    /// closed_error; std::system_error · Cancel: nothing was taken.
    [[nodiscard]] message_receive receive(std::size_t most = any_size) const noexcept;

    /// The same for a thread without a loop, which sleeps meanwhile; `until`: false if no message,
    /// and not the end, came. `verb` is called so, and `instead` is what tasks do.
    void send_blocking(parcel message,
                       std::source_location where = std::source_location::current()) const;
    void send_bytes_blocking(bytes borrowed,
                             std::source_location where = std::source_location::current()) const;
    [[nodiscard]] static bool wait_blocking(message_wait& wait, time_point until, const char* verb,
                                            const char* instead, std::source_location where);

    /// Ends it for everybody: verbs under way fail with closed_error.
    void close() const noexcept;
    [[nodiscard]] int descriptor() const noexcept;
    /// False for an empty one, and after close().
    [[nodiscard]] explicit operator bool() const noexcept;
    [[nodiscard]] message_state* state() const noexcept { return state_; }

    /// An end moves to another process, with what it has received and not given out. Errors:
    /// closed_error; std::system_error (EBUSY) while a verb is under way, or a cancelled one's
    /// message goes out.
    void pack_into(parcel_writer& to) &&;
    [[nodiscard]] static message_stream unpack_from(parcel_reader& from);

 private:
    void drop() noexcept;
    static void deliver(message_send& message);

    message_state* state_ = nullptr;
};

struct message_streams {
    message_stream one;
    message_stream other;
};
/// A new stream with a carrier. Errors: std::logic_error outside of a family; std::system_error.
[[nodiscard]] LARIAT_EXPORT message_streams make_message_streams(const char* verb);

}  // namespace detail
}  // namespace lariat
