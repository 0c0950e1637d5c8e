#pragma once

#include <lariat/base/result.hpp>
#include <lariat/net/buffer.hpp>
#include <lariat/net/lent_bytes.hpp>
#include <lariat/net/stream_state.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace lariat {

namespace detail {

/// Waits until a stream has something to read. Being cut, it has taken nothing: what arrives stays
/// in the stream.
class LARIAT_EXPORT stream_wait : public wait_point {
 public:
    explicit stream_wait(stream_state* stream) noexcept
        : wait_point(kind_of_wait), stream_(stream) {}

    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
        party& p = party_of(frame);
        if (!must_wait()) return pass(p, frame);
        stream_->reader = this;
        park(p, frame);
        return true;
    }

 protected:
    /// Arms the stream if need be; false when there is something already.
    [[nodiscard]] bool must_wait() noexcept;
    /// Null when bytes are there; else why not: the end (no error), or an error.
    [[nodiscard]] bool has_bytes() const noexcept { return stream_ && stream_->head.size != 0; }
    [[nodiscard]] std::error_code error() const noexcept;

    stream_ref stream_;

 private:
    static void leave(waiter& w) noexcept;
    static const wait_kind kind_of_wait;
};

}  // namespace detail

class LARIAT_EXPORT read_awaiter : public detail::stream_wait {
 public:
    read_awaiter(detail::stream_state* stream, mutable_bytes room) noexcept
        : stream_wait(stream), room_(room) {}
    std::size_t await_resume();
    lariat::result<std::size_t> finish_nothrow();

 private:
    mutable_bytes room_;
};

class LARIAT_EXPORT receive_awaiter : public detail::stream_wait {
 public:
    using stream_wait::stream_wait;
    lent_bytes await_resume();
    lariat::result<lent_bytes> finish_nothrow();
};

namespace detail {

/// One stretch of a gathered write, laid out as the kernel's iovec.
struct slice {
    void* data;
    std::size_t size;
};

/// Sends until all (or, for write_some, any) is taken, in one wait: the completion sends the rest.
class LARIAT_EXPORT send_wait : public wait_point, protected op {
 public:
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
        party& p = party_of(frame);
        who = &p;
        if (!begin()) return pass(p, frame);
        park(p, frame);
        return true;
    }

 protected:
    send_wait(stream_state* stream, bytes data, bool all) noexcept;
    send_wait(send_wait&& other) noexcept;

    [[nodiscard]] lariat::result<std::size_t> finish();

    stream_ref stream_;
    std::size_t wanted_;  ///< bytes still to be taken
    std::size_t taken_ = 0;

 private:
    /// True if it waits.
    [[nodiscard]] bool begin() noexcept;
    /// Takes a completion into account; true if more is to be sent.
    [[nodiscard]] bool advance() noexcept;
    void end() noexcept;
    static void sent(op& done) noexcept;
    static void leave(waiter& w) noexcept;
    static const wait_kind kind_of_wait;

    std::int32_t failure_ = 0;
    bool all_;
    bool cut_asked_ = false;
};

}  // namespace detail

class LARIAT_EXPORT write_some_awaiter : public detail::send_wait {
 public:
    write_some_awaiter(detail::stream_state* stream, bytes data) noexcept
        : send_wait(stream, data, false) {}
    std::size_t await_resume();
    lariat::result<std::size_t> finish_nothrow() { return finish(); }
};

class LARIAT_EXPORT write_awaiter : public detail::send_wait {
 public:
    write_awaiter(detail::stream_state* stream, bytes data) noexcept
        : send_wait(stream, data, true) {}
    void await_resume();
    lariat::result<void> finish_nothrow();
};

/// Waits until a stream that was closed is gone. Need not be awaited.
class LARIAT_EXPORT close_awaiter : public line_point {
 public:
    explicit close_awaiter(detail::stream_state* stream) noexcept;

    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
        party& p = party_of(frame);
        if (!stream_ || stream_->released) return pass(p, frame);
        stream_->closers.add(*this);
        park(p, frame);
        return true;
    }
    void await_resume() const { throw_if_cut(); }

 private:
    static const wait_kind kind_of_wait;

    detail::stream_ref stream_;
};

/// Allocation: none up to eight parts.
class LARIAT_EXPORT gather_write_awaiter : public detail::send_wait {
 public:
    gather_write_awaiter(detail::stream_state* stream, std::span<const bytes> parts);
    gather_write_awaiter(gather_write_awaiter&& other) noexcept;

    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
        describe();
        return send_wait::await_suspend(frame);
    }
    void await_resume();
    lariat::result<void> finish_nothrow();

 private:
    friend class detail::send_wait;
    [[nodiscard]] detail::slice* slices() noexcept {
        return many_.empty() ? few_.data() : many_.data();
    }
    /// Writes the kernel's message header for what is left.
    void describe() noexcept;
    void skip(std::size_t sent) noexcept;

    std::array<detail::slice, 8> few_{};
    std::vector<detail::slice> many_;
    std::size_t first_ = 0;
    std::size_t count_ = 0;
    alignas(8) std::array<std::byte, 56> header_{};  // a msghdr
};

}  // namespace lariat
