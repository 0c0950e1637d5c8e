#pragma once

#include <lariat/base/assert.hpp>
#include <lariat/base/clock.hpp>
#include <lariat/sync/selectable.hpp>
#include <lariat/task/race.hpp>
#include <lariat/task/timer_queue.hpp>

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace lariat {

/// Which arm of a select fired, and what it gave: its optional, or std::monostate for void; a
/// variant where the arms' types differ.
template <class T>
struct select_result {
    std::size_t index;
    T value;
};

/// An arm of a select that fires at a moment; made by after() and at().
class LARIAT_EXPORT time_arm : public waiter, private timer_entry {
 public:
    explicit time_arm(time_point until) noexcept;
    time_arm(time_arm&& other) noexcept : time_arm(other.until_) {}

    [[nodiscard]] bool attempt() const noexcept { return until_ <= this_scheduler->now(); }
    void enlist(party& p) noexcept;
    void withdraw() noexcept { this_scheduler->timers.disarm(*this); }
    void result() const noexcept {}

 private:
    static void due(timer_entry& self) noexcept;

    time_point until_;
};

/// Fires `length` from this call, never early: `co_await select(jobs.get(), after(1s))`.
[[nodiscard]] inline time_arm after(duration length) noexcept {
    return time_arm(saturating_add(detail::required_scheduler("lariat::after").now(), length));
}
[[nodiscard]] inline time_arm at(time_point until) noexcept { return time_arm(until); }

namespace detail {

inline constexpr std::size_t no_arm = std::numeric_limits<std::size_t>::max();

/// Which of `arms` is asked first. Of several that are always ready, each then has its turn; a
/// count in place of dice would fall in step with tasks that take turns.
inline std::size_t first_asked(scheduler& home, std::size_t arms) noexcept {
    home.dice = home.dice * 1664525U + 1013904223U;  // Numerical Recipes' generator
    return static_cast<std::size_t>((std::uint64_t{home.dice} * arms) >> 32U);
}

/// The place where a task waits for several arms: the arms lie in their lines, it is parked here.
///
/// States       asking -> decided (an arm was ready) | waiting (all are enlisted) -> leaving ->
///              decided (one was granted) | cut. Arms leave their lines in the call that grants or
///              cuts; `leaving` lasts beyond it while late ones are still to report, and nothing
///              can change its end any more
class LARIAT_EXPORT select_wait : public wait_point, public single_step {
 protected:
    /// Takes every arm out of its line, and counts those that leave later; returns the index of
    /// `granted`.
    using withdrawer = std::size_t (*)(select_wait&, const waiter* granted) noexcept;

    explicit select_wait(withdrawer all) noexcept : wait_point(kind_of_wait), withdraw_(all) {}

    /// Pre: it waits.
    void end(const waiter* granted, wake_reason how) noexcept;

    std::size_t decided_ = no_arm;
    std::size_t leaving_ = 0;  // late arms that are to report, and 1 for the call that ends it

 private:
    friend void grant_arm(waiter& arm) noexcept;
    friend void arm_left(waiter& arm) noexcept;
    static void leave(waiter& w) noexcept;
    void left() noexcept;
    static const wait_kind kind_of_wait;

    withdrawer withdraw_;
    wake_reason ended_ = wake_reason::done;
};

template <class Arm>
decltype(auto) result_of_arm(Arm& arm) {
    if constexpr (late_arm<Arm>) {
        return arm.await_resume();
    } else {
        return arm.result();
    }
}

template <class Arm>
using arm_result = decltype(result_of_arm(std::declval<std::remove_reference_t<Arm>&>()));

template <class Arm>
stored<arm_result<Arm>> take_arm(Arm& arm) {
    if constexpr (std::is_void_v<arm_result<Arm>>) {
        result_of_arm(arm);
        return {};
    } else {
        return result_of_arm(arm);
    }
}

template <class Arm>
[[nodiscard]] bool attempt_arm(Arm& arm) {
    if constexpr (late_arm<Arm>) {
        party* const asking = this_scheduler->current;
        require(asking != nullptr, "a wait for shared memory is an arm of a select inside a task");
        return arm.attempt_as_arm(*asking);
    } else {
        return arm.attempt();
    }
}

/// Takes it out of its line, or asks it to leave and counts it.
template <class Arm>
void withdraw_arm(Arm& arm, std::size_t& leaving) noexcept {
    if constexpr (late_arm<Arm>) {
        ++leaving;  // before: it may report within the call
        if (arm.withdraw()) --leaving;
    } else {
        arm.withdraw();
    }
}

/// The arms of a select that names each. Those given as lvalues stay where they are.
template <class... Arms>
class few_arms {
    static_assert((selectable<std::remove_reference_t<Arms>> && ...),
                  "an arm of a select is a queue's or channel's get, put, receive or send, an "
                  "event's wait, a time: after(d), at(t), or a wait for an object in shared "
                  "memory; not a task, nor a sleep");
    using common = common_result<arm_result<Arms>...>;
    using result_type = select_result<typename common::type>;
    static constexpr auto each = std::index_sequence_for<Arms...>();

 public:
    explicit few_arms(Arms&&... arms) : arms_(std::forward<Arms>(arms)...) {}

    [[nodiscard]] static constexpr std::size_t count() noexcept { return sizeof...(Arms); }

    /// Asks each once, from `first` on and then round; the index of the one that was ready.
    [[nodiscard]] std::size_t attempt(std::size_t first) { return attempt(first, each); }
    /// Returns the one that was over at once, if any: late arms behind it are not enlisted. They
    /// come last, so that the others always are.
    const waiter* enlist(party& p) noexcept {
        const auto promptly = [&p](auto& arm) {
            if constexpr (!late_arm<std::remove_reference_t<decltype(arm)>>) arm.enlist(p);
        };
        const waiter* over = nullptr;
        const auto later = [&p, &over](auto& arm) {
            if constexpr (late_arm<std::remove_reference_t<decltype(arm)>>) {
                if (over == nullptr && !arm.enlist(p, to_the_select)) over = &arm;
            }
        };
        std::apply([&](auto&... arm) { (promptly(arm), ...), (later(arm), ...); }, arms_);
        return over;
    }
    std::size_t withdraw(const waiter* granted, std::size_t& leaving) noexcept {
        return withdraw(granted, leaving, each);
    }
    [[nodiscard]] result_type result(std::size_t decided) { return result_of<0>(decided); }

 private:
    template <std::size_t... I>
    std::size_t attempt(std::size_t first, std::index_sequence<I...>) {
        std::size_t ready = no_arm;
        const auto ask = [&]<std::size_t Index>(std::in_place_index_t<Index>) {
            if (!attempt_arm(std::get<Index>(arms_))) return false;
            ready = Index;
            return true;
        };
        (void)(((I >= first && ask(std::in_place_index<I>)) || ...) ||
               ((I < first && ask(std::in_place_index<I>)) || ...));
        return ready;
    }
    template <std::size_t... I>
    std::size_t withdraw(const waiter* granted, std::size_t& leaving,
                         std::index_sequence<I...>) noexcept {
        std::size_t found = no_arm;
        const auto leave = [&](auto& arm, std::size_t index) {
            withdraw_arm(arm, leaving);
            if (static_cast<waiter*>(&arm) == granted) found = index;
        };
        (leave(std::get<I>(arms_), I), ...);
        return found;
    }
    template <std::size_t I>
    result_type result_of(std::size_t decided) {
        if constexpr (I + 1 < sizeof...(Arms)) {
            if (decided != I) return result_of<I + 1>(decided);
        }
        if constexpr (common::same) {
            return {I, take_arm(std::get<I>(arms_))};
        } else {
            using value = typename common::type;
            return {I, value(std::in_place_index<I>, take_arm(std::get<I>(arms_)))};
        }
    }

    std::tuple<Arms...> arms_;
};

/// Any number of arms of one kind, in a vector or a span.
template <class Arms>
class many_arms {
    using arm_type = typename Arms::value_type;
    using result_type = select_result<stored<arm_result<arm_type>>>;
    static_assert(selectable<arm_type>);

 public:
    explicit many_arms(Arms arms) : arms_(std::move(arms)) {
        require(!arms_.empty(), "a select needs at least one arm");
    }

    [[nodiscard]] std::size_t count() const noexcept { return arms_.size(); }
    [[nodiscard]] std::size_t attempt(std::size_t first) {
        std::size_t at = first;
        for (std::size_t left = count(); left > 0; --left) {
            if (attempt_arm(arms_[at])) return at;
            at = at + 1 == count() ? 0 : at + 1;
        }
        return no_arm;
    }
    const waiter* enlist(party& p) noexcept {
        for (arm_type& arm : arms_) {
            if constexpr (late_arm<arm_type>) {
                if (!arm.enlist(p, to_the_select)) return &arm;
            } else {
                arm.enlist(p);
            }
        }
        return nullptr;
    }
    std::size_t withdraw(const waiter* granted, std::size_t& leaving) noexcept {
        std::size_t found = no_arm;
        for (std::size_t i = 0; i < count(); ++i) {
            withdraw_arm(arms_[i], leaving);
            if (&arms_[i] == granted) found = i;
        }
        return found;
    }
    [[nodiscard]] result_type result(std::size_t decided) {
        return {decided, take_arm(arms_[decided])};
    }

 private:
    Arms arms_;
};

template <class Arms>
class [[nodiscard("a select does nothing until it is awaited: co_await it")]] select_awaiter
    : public select_wait {
 public:
    explicit select_awaiter(Arms arms) : select_wait(&withdraw_all), arms_(std::move(arms)) {}

    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) {
        party& p = party_of(frame);
        decided_ = arms_.attempt(first_asked(*this_scheduler, arms_.count()));
        if (decided_ != no_arm) return pass(p, frame);
        park(p, frame);
        if (const waiter* over = arms_.enlist(p)) end(over, wake_reason::done);
        return true;
    }
    auto await_resume() {
        throw_if_cut();
        return arms_.result(decided_);
    }

 private:
    static std::size_t withdraw_all(select_wait& self, const waiter* granted) noexcept {
        auto& mine = static_cast<select_awaiter&>(self);
        return mine.arms_.withdraw(granted, mine.leaving_);
    }

    Arms arms_;
};

template <class Arms>
auto attempt_select(Arms arms) {
    scheduler& home = required_scheduler("lariat::try_select");
    const std::size_t decided = arms.attempt(first_asked(home, arms.count()));
    std::optional<decltype(arms.result(decided))> fired;
    if (decided != no_arm) fired.emplace(arms.result(decided));
    return fired;
}

}  // namespace detail

/// Waits for several things and takes exactly one: the first that can be had. Nothing is taken from
/// the other arms' objects, and nothing given to them; all their places in line are given up.
///
///     auto got = co_await select(jobs.get(), results.send(value), stop.wait(), after(1s));
///     if (got.index == 0) work_on(std::get<0>(got.value));
///
/// What a put or send arm was to give goes with the select if another arm fired. To keep it, name
/// the arm: `auto sending = results.send(std::move(value)); co_await select(sending, stop.wait());`
/// leaves it in `sending.item()`, and `sending` can be used again.
///
/// Order        an arm waits its turn in its object's line like any other task; if several can be
///              had at once, chance decides, so that none starves
/// Returns select_result{index, value} · Errors: those of the arm that fired · Cancel: leaves every
/// line, nothing was taken or given; an arm that had fired before stands · Cost: O(arms), no
/// allocation; with waits for objects in shared memory that did not fire, a turn of the loop more,
/// in which the kernel lets go of them.
template <class... Arms>
    requires(sizeof...(Arms) > 0)
auto select(Arms&&... arms) {
    using all = detail::few_arms<Arms...>;
    return detail::select_awaiter<all>(all(std::forward<Arms>(arms)...));
}
/// The same for any number of one kind. Pre: not empty.
template <class Arm>
auto select(std::vector<Arm> arms) {
    using all = detail::many_arms<std::vector<Arm>>;
    return detail::select_awaiter<all>(all(std::move(arms)));
}
/// Arms that stay where they are, to be used again.
template <class Arm>
auto select(std::span<Arm> arms) {
    using all = detail::many_arms<std::span<Arm>>;
    return detail::select_awaiter<all>(all(arms));
}

/// Takes one if any can be had now, without waiting: an optional select_result.
template <class... Arms>
    requires(sizeof...(Arms) > 0)
[[nodiscard]] auto try_select(Arms&&... arms) {
    return detail::attempt_select(detail::few_arms<Arms...>(std::forward<Arms>(arms)...));
}

}  // namespace lariat
