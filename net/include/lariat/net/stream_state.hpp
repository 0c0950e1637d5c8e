#pragma once

#include <lariat/loop/io.hpp>
#include <lariat/net/buffer.hpp>
#include <lariat/task/promise.hpp>
#include <lariat/task/wait_queue.hpp>

#include <cstddef>
#include <cstdint>
#include <system_error>
#include <utility>
#include <vector>

namespace lariat::detail {

/// A stretch of received bytes in a buffer of the driver's (lent != 0) or in a block of our own.
struct segment {
    std::byte* data = nullptr;
    std::byte* block = nullptr;
    std::uint32_t size = 0;
    std::uint32_t lent = 0;
};

/// One connected socket of a loop: what is received, what is being sent, and its end. Streams are
/// handles to it.
///
/// States, receiving   idle -> armed (first read) -> idle (end, error, pause, close)
/// States, life        open -> closing (close) -> released (the last completion, then the close op)
/// Invariant 1  the descriptor is closed only when no operation is in flight on it
/// Invariant 2  this record lives while a handle or an operation refers to it
/// Invariant 3  bytes are delivered before the end or the error that came after them, and none
///              that came after an error
struct LARIAT_EXPORT stream_state : io_object, op {
    explicit stream_state(int descriptor) noexcept;
    static void* operator new(std::size_t bytes) { return allocate_frame(bytes); }
    static void operator delete(void* memory, std::size_t bytes) noexcept {
        deallocate_frame(memory, bytes);
    }

    /// Something can be read: bytes, the end or an error.
    [[nodiscard]] bool readable() const noexcept { return head.size != 0 || ended || failure != 0; }
    /// Pre: a loop runs here.
    void arm() noexcept;
    /// Copies what fits of the first segment. Pre: it has one.
    std::size_t copy_out(mutable_bytes room) noexcept;
    /// Gives the first segment away. Pre: it has one.
    segment take_segment() noexcept;
    /// What a read that found no bytes returns: 0 at the end, or a negated errno.
    [[nodiscard]] std::int32_t why_nothing() const noexcept { return failure; }

    /// Ends it for everybody: reads and writes under way fail with closed_error. At once if nothing
    /// is in flight, else as soon as the driver allows.
    void close() noexcept;
    /// The write under way has had its last completion.
    void sent() noexcept;
    void add_ref() noexcept { ++refs; }
    void drop_ref() noexcept {
        if (--refs == 0) delete this;
    }
    void drop_segment(const segment& gone) const noexcept;

    segment head;                ///< the oldest; size 0: none
    std::vector<segment> queue;  ///< the following ones, in order
    waiter* reader = nullptr;
    wait_queue closers;
    op* sending = nullptr;     ///< the write under way, in its writer's frame
    std::int32_t failure = 0;  ///< a negated errno that ended receiving
    std::uint16_t refs = 1;
    bool armed = false;
    bool ended = false;
    bool closing = false;
    bool released = false;
    bool broken = false;  ///< a write was cut short: what the peer has is in doubt

 private:
    static void received(op& done) noexcept;
    static void closed(op& done) noexcept;
    static void loop_closes(io_object& self) noexcept;
    void take_in(op& done) noexcept;
    [[nodiscard]] bool hold_privately(segment& arrived) noexcept;
    void close_descriptor() noexcept;
    void finish_close() noexcept;
};

/// A verb's own reference: the stream's handle may go, in another task, before the verb has ended.
class stream_ref {
 public:
    explicit stream_ref(stream_state* stream) noexcept : stream_(stream) {
        if (stream_ != nullptr) stream_->add_ref();
    }
    stream_ref(stream_ref&& other) noexcept : stream_(std::exchange(other.stream_, nullptr)) {}
    stream_ref& operator=(stream_ref&&) = delete;
    ~stream_ref() {
        if (stream_ != nullptr) stream_->drop_ref();
    }

    [[nodiscard]] stream_state* get() const noexcept { return stream_; }
    [[nodiscard]] stream_state* operator->() const noexcept { return stream_; }
    [[nodiscard]] explicit operator bool() const noexcept { return stream_ != nullptr; }

 private:
    stream_state* stream_;
};

}  // namespace lariat::detail
