#pragma once

#include <lariat/base/frame_allocator.hpp>
#include <lariat/task/child_set.hpp>

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

namespace lariat::detail {

/// An await of several children: it parks the awaiting party until all of them have ended.
class child_wait : public wait_point {
 public:
    child_wait(group_core::child_action on_finished, told_of which) noexcept
        : wait_point(children_wait), children_(on_finished, which) {}
    /// Pre: not awaited yet.
    child_wait(child_wait&& other) noexcept
        : wait_point(static_cast<wait_point&&>(other)),
          children_(other.children_.child_finished, other.children_.told) {}

 protected:
    /// Before the first child starts: they find the party parked where it gathers them.
    void begin_wait(party& p, std::coroutine_handle<> frame) noexcept {
        children_.enter(p);
        park(p, frame);
    }
    /// When all have been started. The value of await_suspend.
    [[nodiscard]] bool await_children(party& p, std::coroutine_handle<> frame) noexcept {
        if (children_.pending != 0) {
            children_.waiting = this;
            return true;
        }
        p.state = party_state::running;
        return pass(p, frame);
    }

    [[nodiscard]] static bool any_cancelled(std::span<const party> ended) noexcept {
        bool any = false;
        for (const party& p : ended) any |= p.outcome == party_outcome::cancelled;
        return any;
    }

    child_set children_;
};

/// The children of an await that names each of them. `Wait` is a child_wait, and says how their
/// endings are taken.
///
/// Allocation   none: tasks and parties lie in the awaiting frame
template <class Wait, class... T>
class few_children : public Wait {
 public:
    explicit few_children(task<T>&&... tasks) noexcept : frames_(tasks.release()...) {}
    few_children(few_children&& other) noexcept
        : Wait(std::move(other)), frames_(std::exchange(other.frames_, {})) {}
    ~few_children() { destroy_all(std::index_sequence_for<T...>()); }

    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
        party& p = party_of(frame);
        this->begin_wait(p, frame);
        start_all(p, std::index_sequence_for<T...>());
        return this->await_children(p, frame);
    }

 protected:
    [[nodiscard]] std::span<const party> parties() const noexcept { return parties_; }
    [[nodiscard]] const party& who_ran(std::size_t index) const noexcept { return parties_[index]; }
    template <std::size_t Index>
    [[nodiscard]] auto work() const noexcept {
        return std::get<Index>(frames_);
    }

 private:
    template <std::size_t... I>
    void start_all([[maybe_unused]] party& p, std::index_sequence<I...>) noexcept {
        (child_set::give_frame(parties_[I], std::get<I>(frames_)), ...);
        this->children_.start_within(p, parties_.data(), sizeof...(T));
    }
    template <std::size_t... I>
    void destroy_all(std::index_sequence<I...>) noexcept {
        (void(task<T>(std::get<I>(frames_))), ...);
    }

    // Not a tuple of tasks, which is moved and destroyed by as many calls as it has members.
    std::tuple<std::coroutine_handle<task_promise<T>>...> frames_;
    std::array<party, sizeof...(T)> parties_;
};

/// The same for any number of children of one kind.
///
/// Allocation   one block for the parties, from the thread's recycling allocator
template <class Wait, class T>
class many_children : public Wait {
 public:
    explicit many_children(std::vector<task<T>> tasks) : tasks_(std::move(tasks)) {}
    many_children(many_children&& other) noexcept
        : Wait(std::move(other)), tasks_(std::move(other.tasks_)) {}
    ~many_children() {
        if (parties_ == nullptr) return;
        std::destroy_n(parties_, count());
        deallocate_frame(parties_, count() * sizeof(party));
    }

    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) {
        party& p = party_of(frame);
        if (count() != 0) {
            parties_ = static_cast<party*>(allocate_frame(count() * sizeof(party)));
            std::uninitialized_default_construct_n(parties_, count());
        }
        this->begin_wait(p, frame);
        for (std::size_t i = 0; i < count(); ++i) child_set::give_frame(parties_[i], work(i));
        this->children_.start_within(p, parties_, count());
        return this->await_children(p, frame);
    }

 protected:
    [[nodiscard]] std::size_t count() const noexcept { return tasks_.size(); }
    [[nodiscard]] std::span<const party> parties() const noexcept { return {parties_, count()}; }
    [[nodiscard]] const party& who_ran(std::size_t index) const noexcept { return parties_[index]; }
    [[nodiscard]] auto work(std::size_t index) const noexcept { return tasks_[index].frame(); }

 private:
    std::vector<task<T>> tasks_;
    party* parties_ = nullptr;
};

}  // namespace lariat::detail
