#pragma once

#include <lariat/base/config.hpp>
#include <lariat/base/frame_allocator.hpp>
#include <lariat/task/scheduler.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <new>
#include <type_traits>
#include <utility>

namespace lariat {

namespace detail {

/// A function to be called by the loop, once, soon or at a time. Counted: the loop and the handle.
struct LARIAT_EXPORT scheduled_call : runnable, timer_entry {
    enum class end : bool { call, drop };
    using action = void (*)(scheduled_call&, end);

    scheduled_call(action on_end, std::uint32_t size, bool nothing_to_drop) noexcept
        : timer_entry(nullptr), ended(on_end), bytes(size), owns_nothing(nothing_to_drop) {}
    scheduled_call(const scheduled_call&) = delete;
    scheduled_call& operator=(const scheduled_call&) = delete;

    /// Library use: asks `here` for it. The library writes what it compares, so that there is one
    /// address of each.
    void schedule_soon(scheduler& here) noexcept;
    void schedule_at(scheduler& here, time_point when) noexcept;
    /// True if it will now not be called.
    bool cancel() noexcept;
    /// For a loop that closes: cancels what is still to be called there.
    static void drop_all(scheduler& home) noexcept;
    void drop_ref() noexcept {
        if (--refs == 0) let_go();
    }

    action ended;  ///< calls (or not) and destroys the function; what remains is memory
    scheduler* home = nullptr;
    std::uint32_t bytes;
    std::uint16_t refs = 2;
    bool over = false;
    bool owns_nothing;  ///< so it need not be told that it is dropped

 private:
    void let_go() noexcept;
    static void due(timer_entry& self) noexcept;
    static void run_call(runnable& self) noexcept;
};

template <class Fn>
struct call_of final : scheduled_call {
    explicit call_of(Fn fn)
        : scheduled_call(&finish, sizeof(call_of), std::is_trivially_destructible_v<Fn>),
          function(std::move(fn)) {}
    ~call_of() =
        delete;  // the function is destroyed by `finish`, the memory given back by drop_ref

    static void finish(scheduled_call& base, end how) {
        auto& self = static_cast<call_of&>(base);
        struct destroyer {
            Fn& held;
            ~destroyer() { held.~Fn(); }
        } const destroy{self.function};
        if (how == end::call) self.function();
    }

    union {
        Fn function;
    };
};

template <class Fn>
scheduled_call& make_call(Fn&& fn) {
    using held = call_of<std::decay_t<Fn>>;
    static_assert(std::is_invocable_v<std::decay_t<Fn>&>, "a call takes no arguments: bind them");
    static_assert(alignof(held) <= alignof(std::max_align_t),
                  "a call's function may not be aligned beyond 16 bytes; let it hold a unique_ptr");
    void* memory = allocate_frame(sizeof(held));
    try {
        return *new (memory) held(std::forward<Fn>(fn));
    } catch (...) {  // the function's own constructor
        deallocate_frame(memory, sizeof(held));
        throw;
    }
}

}  // namespace detail

/// Names a call that was asked for. Dropping the handle leaves the call standing.
///
/// Threads      one loop
class call_handle {
 public:
    call_handle() noexcept = default;
    explicit call_handle(detail::scheduled_call& call) noexcept : call_(&call) {}
    call_handle(call_handle&& other) noexcept : call_(std::exchange(other.call_, nullptr)) {}
    call_handle& operator=(call_handle&& other) noexcept {
        std::swap(call_, other.call_);
        return *this;
    }
    ~call_handle() {
        if (call_ != nullptr) call_->drop_ref();
    }

    /// Takes it back · Returns true if it will now not be called; false if it was, or was cancelled
    /// before. Cost: O(1).
    bool cancel() noexcept { return call_ != nullptr && call_->cancel(); }
    /// Still to be called.
    [[nodiscard]] bool pending() const noexcept { return call_ != nullptr && !call_->over; }

 private:
    detail::scheduled_call* call_ = nullptr;
};

}  // namespace lariat
