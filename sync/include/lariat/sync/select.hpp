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
/// States       asking -> decided (an arm was ready) | waiting (all are enlisted) -> decided (one
///              was granted) | cut; on leaving `waiting` every arm leaves its line, in the call
///              that grants or cuts
class LARIAT_EXPORT select_wait : public wait_point, public single_step {
 protected:
    /// Takes every arm out of its line; returns the index of `granted`.
    using withdrawer = std::size_t (*)(select_wait&, const waiter* granted) noexcept;

    explicit select_wait(withdrawer all) noexcept : wait_point(kind_of_wait), withdraw_(all) {}

    std::size_t decided_ = no_arm;

 private:
    friend void grant_arm(waiter& arm) noexcept;
    static void leave(waiter& w) noexcept;
    static const wait_kind kind_of_wait;

    withdrawer withdraw_;
};

template <class Arm>
using arm_result = decltype(std::declval<std::remove_reference_t<Arm>&>().result());

template <class Arm>
stored<arm_result<Arm>> take_arm(Arm& arm) {
    if constexpr (std::is_void_v<arm_result<Arm>>) {
        arm.result();
        return {};
    } else {
        return arm.result();
    }
}

/// The arms of a select that names each. Those given as lvalues stay where they are.
template <class... Arms>
class few_arms {
    static_assert((selectable<std::remove_reference_t<Arms>> && ...),
                  "an arm of a select is a queue's or channel's get, put, receive or send, an "
                  "event's wait, or a time: after(d), at(t); not a task, nor a sleep");
    using common = common_result<arm_result<Arms>...>;
    using result_type = select_result<typename common::type>;
    static constexpr auto each = std::index_sequence_for<Arms...>();

 public:
    explicit few_arms(Arms&&... arms) : arms_(std::forward<Arms>(arms)...) {}

    [[nodiscard]] static constexpr std::size_t count() noexcept { return sizeof...(Arms); }

    /// Asks each once, from `first` on and then round; the index of the one that was ready.
    [[nodiscard]] std::size_t attempt(std::size_t first) { return attempt(first, each); }
    void enlist(party& p) noexcept {
        std::apply([&](auto&... arm) { (arm.enlist(p), ...); }, arms_);
    }
    std::size_t withdraw(const waiter* granted) noexcept { return withdraw(granted, each); }
    [[nodiscard]] result_type result(std::size_t decided) { return result_of<0>(decided); }

 private:
    template <std::size_t... I>
    std::size_t attempt(std::size_t first, std::index_sequence<I...>) {
        std::size_t ready = no_arm;
        const auto ask = [&]<std::size_t Index>(std::in_place_index_t<Index>) {
            if (!std::get<Index>(arms_).attempt()) return false;
            ready = Index;
            return true;
        };
        (void)(((I >= first && ask(std::in_place_index<I>)) || ...) ||
               ((I < first && ask(std::in_place_index<I>)) || ...));
        return ready;
    }
    template <std::size_t... I>
    std::size_t withdraw(const waiter* granted, std::index_sequence<I...>) noexcept {
        std::size_t found = no_arm;
        const auto leave = [&](waiter& arm, std::size_t index) {
            if (&arm == granted) found = index;
        };
        ((std::get<I>(arms_).withdraw(), leave(std::get<I>(arms_), I)), ...);
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
            if (arms_[at].attempt()) return at;
            at = at + 1 == count() ? 0 : at + 1;
        }
        return no_arm;
    }
    void enlist(party& p) noexcept {
        for (arm_type& arm : arms_) arm.enlist(p);
    }
    std::size_t withdraw(const waiter* granted) noexcept {
        std::size_t found = no_arm;
        for (std::size_t i = 0; i < count(); ++i) {
            arms_[i].withdraw();
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
        party& p = *frame.promise().who;
        decided_ = arms_.attempt(first_asked(*this_scheduler, arms_.count()));
        if (decided_ != no_arm) return pass(p, frame);
        arms_.enlist(p);
        park(p, frame);
        return true;
    }
    auto await_resume() {
        throw_if_cut();
        return arms_.result(decided_);
    }

 private:
    static std::size_t withdraw_all(select_wait& self, const waiter* granted) noexcept {
        return static_cast<select_awaiter&>(self).arms_.withdraw(granted);
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
/// allocation.
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
