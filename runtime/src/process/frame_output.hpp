#pragma once

#include "process/frame_input.hpp"

#include <lariat/base/buffer.hpp>
#include <lariat/base/frame_allocator.hpp>
#include <lariat/base/list.hpp>
#include <lariat/process/arena.hpp>
#include <lariat/task/waiter.hpp>

#include <cstddef>
#include <cstdint>

namespace lariat::detail {

/// A message on its way out.
///
/// States       new -> queued (push) -> begun (its first byte is with the kernel) -> done
/// Invariant 1  one that has begun goes out whole, or the stream ends: nothing takes it out
/// Invariant 2  it belongs to whoever keeps it, until let_go(); then to the queue
struct outgoing : list_link {
    /// With `shared`, those are its bytes, and it holds them until it is done. Pre: it then has
    /// none of its own.
    explicit outgoing(parcel&& message, shared_bytes shared = nullptr);
    /// Bytes alone, which stay the caller's until it is done or let go.
    explicit outgoing(bytes borrowed) noexcept;
    static void* operator new(std::size_t size) { return allocate_frame(size); }
    static void operator delete(void* memory, std::size_t size) noexcept {
        deallocate_frame(memory, size);
    }

    [[nodiscard]] std::size_t total() const noexcept { return sizeof header + header.rest(); }
    [[nodiscard]] bool begun() const noexcept { return sent != 0; }

    frame_header header;
    parcel what;
    shared_bytes shared;
    bytes body;  // the parcel's, shared or borrowed
    std::size_t sent = 0;
    std::int32_t failure = 0;  ///< a negated errno; the message did not go
    waiter* sender = nullptr;  ///< woken when it is done
    bool kept = true;          ///< by a verb; else the queue frees it
    bool done = false;
    bool entrusted = false;
};

/// The messages that wait for their turn on a stream, and the calls that send them.
///
/// Order        as pushed
/// Allocation   none
class frame_output {
 public:
    frame_output() noexcept = default;
    frame_output(const frame_output&) = delete;
    frame_output& operator=(const frame_output&) = delete;
    ~frame_output() { abandon(); }

    [[nodiscard]] bool empty() const noexcept { return queue_.empty(); }
    /// How much waits here.
    [[nodiscard]] std::size_t queued_bytes() const noexcept { return bytes_; }
    void push(outgoing& item) noexcept;
    /// Takes back one that has not begun.
    void remove(outgoing& item) noexcept;
    /// Nobody keeps it any more: it goes out as it is. Returns false, and nothing has changed, if
    /// there is no memory for what it borrowed.
    [[nodiscard]] bool let_go(outgoing& item) noexcept;

    /// Sends as much as the socket takes, many messages a call. What references are under way are
    /// `carrier`'s from then on. Returns 0 when nothing is left, would_block_here, or a negated
    /// errno after which nothing more can be sent; one that is a single message's own only ends
    /// that message, if somebody waits to hear of it.
    [[nodiscard]] int send(int socket, const cell_ref& carrier,
                           patience how = patience::none) noexcept;

    /// All end, or those that somebody waits for and that have not begun.
    void fail_all(std::int32_t failure) noexcept;
    void fail_waiting(std::int32_t failure) noexcept;
    /// Frees what nobody keeps; nobody waits.
    void abandon() noexcept;

 private:
    void took(std::size_t count) noexcept;
    void finish(outgoing& item, std::int32_t failure) noexcept;

    list<outgoing> queue_;
    std::size_t bytes_ = 0;
};

}  // namespace lariat::detail
