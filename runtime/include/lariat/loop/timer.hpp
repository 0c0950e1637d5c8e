#pragma once

#include <lariat/base/clock.hpp>
#include <lariat/loop/call.hpp>

#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

namespace lariat {

namespace detail {

/// A timer's function, kept for every start of it.
struct timer_action {
    using action = void (*)(timer_action&);

    explicit timer_action(action how) noexcept : call(how) {}
    action call;
};

template <class Fn>
struct timer_function final : timer_action {
    explicit timer_function(Fn what) : timer_action(&run), fn(std::move(what)) {}
    static void run(timer_action& self) { static_cast<timer_function&>(self).fn(); }
    Fn fn;
};

}  // namespace detail

/// Calls a function once, after a time; until then it can be taken back or put off.
///
///     lariat::timer alarm(30s, [&] { connection.close(); });
///     ...
///     alarm.restart();                 // something came: again 30 s from now
///
/// The function runs on this loop, outside of any task; what it throws goes to the report hook and
/// ends the run. It may restart the timer, or destroy it.
///
/// Order        as call_later: by deadline, never early
/// Threads      one loop
/// Lifetime     its end takes the call back
/// Allocation   one record when it is made, and a small one every time it starts
class LARIAT_EXPORT timer {
 public:
    /// Starts it. Pre: a loop runs on this thread.
    template <class Fn>
        requires std::is_invocable_v<std::decay_t<Fn>&>
    timer(duration length, Fn&& fn)
        : action_(std::make_shared<detail::timer_function<std::decay_t<Fn>>>(std::forward<Fn>(fn))),
          length_(length) {
        start();
    }
    timer(timer&& other) noexcept = default;
    timer& operator=(timer&& other) noexcept;
    ~timer() { cancel(); }

    /// Takes the call back · Returns true if it will now not be made; false if it was, or was taken
    /// back before.
    bool cancel() noexcept { return call_.cancel(); }
    /// Once more, its length (or another, from now on its own) from now, whether it was called,
    /// taken back, or is still to come: then that does not come.
    void restart() { start(); }
    void restart(duration length) {
        length_ = length;
        start();
    }
    /// Still to be called.
    [[nodiscard]] bool pending() const noexcept { return call_.pending(); }

 private:
    void start();

    std::shared_ptr<detail::timer_action> action_;
    duration length_;
    call_handle call_;
};

}  // namespace lariat
