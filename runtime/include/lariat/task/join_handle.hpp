#pragma once

#include <lariat/task/local.hpp>
#include <lariat/task/outcome.hpp>
#include <lariat/task/task.hpp>

#include <string>
#include <utility>

namespace lariat {

namespace detail {

/// A counted reference to a spawned party, without its result's type.
class LARIAT_EXPORT party_ref {
 public:
    party_ref() noexcept = default;
    explicit party_ref(party& p) noexcept : party_(&p) { p.add_ref(); }
    party_ref(party_ref&& other) noexcept : party_(std::exchange(other.party_, nullptr)) {}
    party_ref& operator=(party_ref&& other) noexcept {
        if (this != &other) {
            drop();
            party_ = std::exchange(other.party_, nullptr);
        }
        return *this;
    }
    ~party_ref() { drop(); }

    [[nodiscard]] explicit operator bool() const noexcept { return party_ != nullptr; }
    [[nodiscard]] party& checked() const noexcept {
        require(party_ != nullptr, "this join_handle is empty or its result was already taken");
        return *party_;
    }

 private:
    void drop() noexcept {
        if (party_ != nullptr) drop_held();
    }
    /// An error that nobody can ask for any more goes to the report hook.
    void drop_held() noexcept;

    party* party_ = nullptr;
};

/// Waits until a party has finished.
class LARIAT_EXPORT join_awaiter : public wait_point, public single_step, private party_joiner {
 public:
    explicit join_awaiter(party& target) noexcept
        : wait_point(kind_of_wait), party_joiner(&join_awaiter::ended), target_(&target) {}

    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
        party& p = party_of(frame);
        require(&p != target_, "a task cannot wait for itself");
        if (target_->state == party_state::finished) return pass(p, frame);
        const bool joins = target_->set_joiner(*this);
        require(joins, "one task at a time may await a join_handle");
        park(p, frame);
        return true;
    }

 protected:
    party* target_;

 private:
    static void ended(party_joiner& self) noexcept { static_cast<join_awaiter&>(self).wake(); }
    static void leave(waiter& w) noexcept;
    static const wait_kind kind_of_wait;
};

}  // namespace detail

/// Names a spawned task: await it for its result, cancel it, or let go of it.
///
/// Threads      one loop
/// Lifetime     may outlive the task, and be dropped before it ends: the task stays with its owner.
///              The result waits here until it is taken, and with it what the task was given; of a
///              task<void> that goes when the task ends
/// Allocation   none
template <class T = void>
class join_handle {
 public:
    join_handle() noexcept = default;
    explicit join_handle(party& p) noexcept : ref_(p) {}

    /// Suspends until it has ended · Returns its result, once · Errors: the task's exception;
    /// task_cancelled if it was cancelled · Cancel: stops waiting, the task goes on.
    auto operator co_await() & noexcept { return awaiter(*this); }
    auto operator co_await() && noexcept { return awaiter(*this); }

    /// Asks the task to end: its awaits throw `cancelled` from now on.
    void cancel() noexcept { ref_.checked().cancel(); }
    [[nodiscard]] bool done() const noexcept {
        return ref_.checked().state == party_state::finished;
    }
    /// False for an empty handle, or when the result was taken.
    [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(ref_); }

    void set_name(std::string name) { set_party_name(ref_.checked(), std::move(name)); }
    [[nodiscard]] std::string name() const { return std::string(party_name(ref_.checked())); }

    /// Library use: the outcome of a finished task, once.
    [[nodiscard]] outcome<T> take_outcome() {
        detail::party_ref taken = std::move(ref_);
        party& p = taken.checked();
        p.claim_error();
        return outcome<T>(p.outcome, frame_of(p));
    }
    [[nodiscard]] party& who() const noexcept { return ref_.checked(); }

 private:
    static std::coroutine_handle<task_promise<T>> frame_of(const party& p) noexcept {
        return p.leaf ? std::coroutine_handle<task_promise<T>>::from_address(p.leaf.address())
                      : std::coroutine_handle<task_promise<T>>();
    }

    class awaiter : public detail::join_awaiter {
     public:
        explicit awaiter(join_handle& handle) noexcept
            : join_awaiter(handle.ref_.checked()), handle_(&handle) {}
        T await_resume() {
            throw_if_cut();
            return handle_->take_outcome().value();
        }

     private:
        join_handle* handle_;
    };

    detail::party_ref ref_;
};

}  // namespace lariat
