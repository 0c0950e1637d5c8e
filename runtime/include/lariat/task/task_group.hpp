#pragma once

#include <lariat/task/child_set.hpp>
#include <lariat/task/spawn.hpp>

#include <exception>
#include <type_traits>
#include <utility>

namespace lariat {

/// Owns the tasks started in it: with_group ends when all of them have.
///
/// Order        children start in the order of spawning
/// Threads      one loop
/// Lifetime     exists inside with_group only; a body, and its children, may refer to it
/// Errors       the first failure cancels the rest; one failure is thrown as itself, several as an
///              error_group that holds them all
class task_group {
 public:
    task_group(const task_group&) = delete;
    task_group& operator=(const task_group&) = delete;

    /// Starts a task in the group, at the next turn. The handle may be dropped. A failure fails the
    /// group also if somebody awaits the handle. Pre: with_group has not ended.
    template <class T>
    join_handle<T> spawn(task<T> work) {
        return detail::start_in(children_, std::move(work));
    }
    template <class Fn, class... Args>
        requires(!detail::is_task<std::decay_t<Fn>>)
    auto spawn(Fn&& fn, Args&&... args) {
        return spawn(detail::bind_task(std::forward<Fn>(fn), std::forward<Args>(args)...));
    }

    /// Ends everything in the group, its body too; with_group then returns normally.
    void cancel() noexcept { children_.cancel(); }
    [[nodiscard]] bool is_cancelled() const noexcept { return children_.is_cancelled(); }
    /// How many tasks have not ended, the body among them.
    [[nodiscard]] std::size_t size() const noexcept { return children_.pending; }

 private:
    template <class Body>
    friend class group_awaiter;

    task_group() noexcept : children_(&detail::child_set::fail_fast, told_of::all_but_values) {}

    detail::child_set children_;
};

template <class Body>
class [[nodiscard("with_group does nothing until it is awaited")]] group_awaiter
    : public wait_point {
    using body_task = std::invoke_result_t<Body&, task_group&>;
    static_assert(
        detail::is_task<body_task>,
        "with_group takes a callable of the form [&](lariat::task_group&) -> lariat::task<>");
    using result = typename body_task::value_type;

 public:
    explicit group_awaiter(Body body) : wait_point(detail::children_wait), body_(std::move(body)) {}

    group_awaiter(group_awaiter&& other) noexcept(std::is_nothrow_move_constructible_v<Body>)
        : wait_point(std::move(other)), body_(std::move(other.body_)) {}

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> frame) {
        party& p = party_of(frame);
        detail::child_set& children = group_.children_;
        children.enter(p);
        try {
            main_ = body_(group_);
            children.start_child(main_party_, main_.frame());
        } catch (...) {  // no frame for the body, or it is no coroutine itself
            if (children.pending == 0) {
                children.leave();
                throw;
            }
            body_failure_ = std::current_exception();  // after it has started children: they end
            children.cancel();
        }
        children.waiting = this;
        park(p, frame);
    }

    result await_resume() {
        detail::child_set& children = group_.children_;
        children.leave();
        if (body_failure_ || children.any_failed())
            children.throw_failures(std::exchange(body_failure_, nullptr));
        if (main_party_.outcome == party_outcome::value)
            return main_.frame().promise().take_result();
        if (who->cancel_pending) detail::throw_cancelled();
        if constexpr (!std::is_void_v<result>)
            throw task_cancelled("the body of a cancelled group");
    }

 private:
    Body body_;
    task_group group_;
    body_task main_;
    party main_party_;
    std::exception_ptr body_failure_;
};

/// Runs body(group) and waits for it and for everything spawned in the group.
///
/// Suspends until all have ended · Returns the body's result · Errors: see task_group;
/// task_cancelled if the group was cancelled and the body should have given a value · Cancel:
/// cancels all inside, waits for them, then throws · Borrows nothing: the body is moved into the
/// awaiting frame.
template <class Body>
auto with_group(Body body) {
    return group_awaiter<Body>(std::move(body));
}

}  // namespace lariat
