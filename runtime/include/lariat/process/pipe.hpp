#pragma once

#include <lariat/base/buffer.hpp>
#include <lariat/base/clock.hpp>
#include <lariat/base/config.hpp>
#include <lariat/process/family.hpp>
#include <lariat/process/message_stream.hpp>
#include <lariat/process/wire.hpp>
#include <lariat/task/task.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <source_location>
#include <string>
#include <system_error>
#include <tuple>
#include <utility>

namespace lariat {

enum class pipe_mode : std::uint8_t {
    duplex,   ///< both ends send and receive
    one_way,  ///< the first end receives, the second sends
};

class LARIAT_EXPORT pipe_bytes_awaiter : public detail::message_wait {
 public:
    using message_wait::message_wait;
    std::optional<std::string> await_resume();
    lariat::result<std::optional<std::string>> finish_nothrow();
};

class LARIAT_EXPORT pipe_into_awaiter : public detail::message_wait {
 public:
    pipe_into_awaiter(detail::message_state* stream, mutable_bytes room) noexcept
        : message_wait(stream, room.size()), room_(room) {}
    std::optional<std::size_t> await_resume();
    lariat::result<std::optional<std::size_t>> finish_nothrow();

 private:
    mutable_bytes room_;
};

template <transferable T>
class pipe_receive_awaiter : public detail::message_wait {
 public:
    using message_wait::message_wait;
    std::optional<T> await_resume() {
        const lariat::result<bool> ended = message_wait::finish_nothrow();
        return take_if(unless(ended));
    }
    lariat::result<std::optional<T>> finish_nothrow() {
        const lariat::result<bool> ended = message_wait::finish_nothrow();
        if (!ended) return ended.error();
        try {
            return take_if(*ended);
        } catch (const std::system_error& failure) {
            return failure.code();
        }
    }

 private:
    template <transferable U>
    friend class pipe_end;

    std::optional<T> take_if(bool there) {
        std::optional<T> value;
        if (there) {
            detail::parcel message = take();
            value.emplace(std::get<0>(detail::unpack<T>(std::move(message))));
        }
        return value;
    }
};

namespace detail {

/// What the ends of all pipes share.
class LARIAT_EXPORT any_pipe_end {
 public:
    /// A message of bytes, without a T around it. As send; borrows them until it has ended.
    [[nodiscard]] message_send send_bytes(bytes message) const;
    /// As recv; a message of more than `most` bytes is message_too_long, and stays to be received
    /// with more room.
    [[nodiscard]] pipe_bytes_awaiter recv_bytes(std::size_t most = any_size) const;
    /// The same into the caller's memory · Returns how many bytes it had.
    [[nodiscard]] pipe_into_awaiter recv_into(mutable_bytes room) const;
    /// Suspends until a message is there, whole, or the end, or for so long · Returns whether recv
    /// would not suspend; what it would say is left to it · Cancel: nothing was taken.
    [[nodiscard]] task<bool> poll(duration longest = duration::zero()) const;

    /// The same for threads without a loop, as a plain function that was started as a process.
    void send_bytes_blocking(bytes message,
                             std::source_location where = std::source_location::current()) const;
    [[nodiscard]] std::optional<std::string> recv_bytes_blocking(
        std::size_t most = any_size,
        std::source_location where = std::source_location::current()) const;
    [[nodiscard]] std::optional<std::size_t> recv_into_blocking(
        mutable_bytes room, std::source_location where = std::source_location::current()) const;
    [[nodiscard]] bool poll_blocking(
        duration longest = duration::zero(),
        std::source_location where = std::source_location::current()) const;

    /// Ends it at once: verbs under way fail with closed_error, and the other end sees the end.
    void close() const noexcept { stream_.close(); }
    /// Its number, for what watches descriptors: readable when something arrives. The pipe's own.
    [[nodiscard]] int descriptor() const noexcept { return stream_.descriptor(); }
    /// False for an empty one, and after close() or a move.
    [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(stream_); }

 protected:
    enum class way : std::uint8_t { both, receives, sends };

    any_pipe_end() noexcept = default;
    any_pipe_end(message_stream stream, way direction) noexcept
        : stream_(std::move(stream)), way_(direction) {}
    explicit any_pipe_end(parcel_reader& from);

    void pack_end(parcel_writer& to);
    /// Errors: std::logic_error for an end of a one-way pipe that goes the other way.
    [[nodiscard]] const message_stream& sender() const;
    [[nodiscard]] message_state* receiver() const;

    message_stream stream_;
    way way_ = way::both;
};

}  // namespace detail

/// One end of a pipe. It can be an argument of process::start, and a message of another pipe: then
/// it moves there, with the messages that it has received and not given out.
///
/// Order        messages come in the order in which they were sent; one task receives at a time
///              (asserted), several may send
/// Threads      one at a time. Tasks that wait belong to one loop; while none does, another loop or
///              a thread without one may go on
/// Lifetime     an end closes with its last handle, or with its process, however that ends: nobody
///              else has it. Messages sent before can still be received
/// Allocation   64 KiB an end that receives; a record a message that is sent, and what it holds
/// Limits       as much under way as a socket holds (about 200 KB), then send waits; 253
///              descriptors a message; its bytes by memory
template <transferable T>
class pipe_end : public detail::any_pipe_end {
 public:
    /// Empty: every verb reports closed_error.
    pipe_end() noexcept = default;

    /// Suspends until the message is with the kernel, so that it arrives whatever becomes of this
    /// process · Errors: closed_error, also when the other end has gone; limit_error;
    /// std::system_error, for this message alone · Cancel: nothing was sent; but one that has begun
    /// counts as sent, and the rest of it follows.
    template <class U = T>
        requires std::convertible_to<U&&, T>
    [[nodiscard]] detail::message_send send(U&& value) const {
        return sender().send(packed(std::forward<U>(value)));
    }
    /// Suspends until a message is there · Returns an optional, empty when the other end has gone
    /// and all was received · Errors: parcel_error, for what is no T; incomplete_read, if the other
    /// end was killed inside of a message; closed_error; std::system_error (EMFILE), if there was
    /// no room for its descriptors · Cancel: nothing was taken.
    [[nodiscard]] pipe_receive_awaiter<T> recv() const {
        return pipe_receive_awaiter<T>(receiver());
    }

    /// The same for threads without a loop.
    template <class U = T>
        requires std::convertible_to<U&&, T>
    void send_blocking(U&& value,
                       std::source_location where = std::source_location::current()) const {
        sender().send_blocking(packed(std::forward<U>(value)), where);
    }
    [[nodiscard]] std::optional<T> recv_blocking(
        std::source_location where = std::source_location::current()) const {
        pipe_receive_awaiter<T> wait(receiver());
        (void)detail::message_stream::wait_blocking(wait, forever, "recv_blocking",
                                                    "co_await x.recv()", where);
        return wait.await_resume();
    }

    void pack_into(detail::parcel_writer& to) && { pack_end(to); }
    [[nodiscard]] static pipe_end unpack_from(detail::parcel_reader& from) {
        return pipe_end(from);
    }

 private:
    template <transferable U>
    friend struct pipe;

    using any_pipe_end::any_pipe_end;

    template <class U>
    [[nodiscard]] static detail::parcel packed(U&& value) {
        if constexpr (std::same_as<std::remove_cvref_t<U>, T>) {
            return detail::pack(std::forward<U>(value));
        } else {
            return detail::pack(static_cast<T>(std::forward<U>(value)));
        }
    }
};

/// Two ends of a new pipe, through which processes send each other T: one end stays, the other one
/// goes to a child or through another pipe.
///
///     lariat::pipe<std::string> talk;
///     auto child = lariat::process::start(serve, std::move(talk.second));
///     co_await talk.first.send("hello");
///     auto answer = co_await talk.first.recv();   // empty when the child has gone
///
/// Errors: std::logic_error outside of a family; std::system_error.
template <transferable T>
struct pipe {
    explicit pipe(pipe_mode mode = pipe_mode::duplex) {
        const bool duplex = mode == pipe_mode::duplex;
        using way = typename pipe_end<T>::way;
        detail::message_streams made = detail::make_message_streams("making a pipe");
        first = pipe_end<T>(std::move(made.one), duplex ? way::both : way::receives);
        second = pipe_end<T>(std::move(made.other), duplex ? way::both : way::sends);
    }

    pipe_end<T> first;
    pipe_end<T> second;
};

}  // namespace lariat
