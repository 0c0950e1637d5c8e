#pragma once

#include <lariat/driver/op.hpp>
#include <lariat/task/promise.hpp>

#include <cerrno>
#include <cstdint>

namespace lariat {

namespace detail {

/// The running loop's driver, for what stands above it (see the driver's contract).
///
/// Threads      the loop's own
/// Returns true if it has finished at once: then `complete` is not called.
[[nodiscard]] LARIAT_EXPORT bool submit(op& operation) noexcept;
LARIAT_EXPORT void cancel(op& operation) noexcept;
LARIAT_EXPORT void give_back(std::uint32_t lent) noexcept;

/// Something with operations in flight that may outlive the task that made it, a socket for
/// instance. A loop that closes shuts every one of them and waits until their operations are done.
///
/// States       free -> attached (attach) -> free (detach); `shut` is called once, by a closing
///              loop, and detaches
/// Threads      the loop's own
struct LARIAT_EXPORT io_object : list_link {
    using action = void (*)(io_object&) noexcept;

    explicit io_object(action on_loop_close) noexcept : shut(on_loop_close) {}

    /// Joins the running loop; nothing if it has. Pre: a loop runs here; it is no other loop's.
    void attach() noexcept;
    void detach() noexcept;
    /// Takes the place of `other`, which is attached, at its loop; that need not be running.
    void succeed(io_object& other) noexcept;
    [[nodiscard]] bool attached() const noexcept { return home != nullptr; }

    /// The same calls on the driver of its own loop, which need not be running. Pre: attached.
    [[nodiscard]] bool submit(op& operation) const noexcept;
    void cancel(op& operation) const noexcept;
    void give_back(std::uint32_t lent) const noexcept;
    /// Between these two a run does not end: a close is under way.
    void hold_loop() const noexcept;
    void release_loop() const noexcept;

    action shut;
    scheduler* home = nullptr;
};

}  // namespace detail

/// Waits for one operation whose memory lies in the awaiting frame.
///
/// Cancel       asks the driver; the frame stays until the operation's own completion, which
///              decides
class LARIAT_EXPORT io_awaiter : public wait_point, protected op {
 public:
    explicit io_awaiter(const op& what) noexcept;
    io_awaiter(io_awaiter&& other) noexcept;

    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
        party& p = party_of(frame);
        if (detail::submit(*this)) return pass(p, frame);
        park(p, frame);
        return true;
    }

 protected:
    /// The result: >= 0, or a negated errno. Errors: `cancelled`, if that was why it ended.
    [[nodiscard]] std::int32_t finish() const {
        throw_if_cut();
        return op::result;
    }

 private:
    static void completed(op& done) noexcept;
    static void leave(waiter& w) noexcept;
    static const wait_kind& kind_of(op_code code) noexcept;

    bool cut_asked_ = false;
};

/// Waits until a descriptor of someone else's (a library's) can be read or written without
/// blocking.
class LARIAT_EXPORT readiness_awaiter : public io_awaiter {
 public:
    readiness_awaiter(int descriptor, std::uint32_t events) noexcept;
    void await_resume() const;
};

/// Suspends until it is readable (at its end, or in error, too) · Errors: std::system_error for a
/// bad descriptor · Cancel: nothing happened. The descriptor stays its owner's, who may close it
/// after.
[[nodiscard]] LARIAT_EXPORT readiness_awaiter wait_readable(int fd) noexcept;
[[nodiscard]] LARIAT_EXPORT readiness_awaiter wait_writable(int fd) noexcept;

}  // namespace lariat
