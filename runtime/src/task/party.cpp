#include <lariat/base/error.hpp>
#include <lariat/base/frame_allocator.hpp>
#include <lariat/task/leg.hpp>
#include <lariat/task/local.hpp>
#include <lariat/task/promise.hpp>
#include <lariat/task/scheduler.hpp>
#include <lariat/task/task.hpp>
#include <lariat/task/trace.hpp>
#include <lariat/task/waiter.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>
#include <stdexcept>
#include <typeinfo>
#include <utility>

namespace lariat {

constinit thread_local scheduler* this_scheduler = nullptr;

namespace detail {

void no_scheduler(const char* what) noexcept {
    std::fprintf(stderr,
                 "lariat: %s needs a running loop on this thread.\n"
                 "  wrong: int main() { lariat::spawn(work()); }\n"
                 "  right: int main() { lariat::run(main_task()); }  // and spawn inside\n",
                 what);
    std::abort();
}

void throw_cancelled() { throw cancelled{}; }

void report_if_forgotten(std::coroutine_handle<> frame) noexcept {
    if (this_scheduler == nullptr || !this_scheduler->debug) return;
    if (!promise_base::of(frame).untouched()) return;
    // It was about to be awaited, in a scope that had been cancelled: nobody forgot it.
    const party* running = this_scheduler->current;
    if (running != nullptr && running->cancel_pending) return;
    std::fprintf(stderr,
                 "lariat: a task was made and never awaited, so it never ran: %s\n"
                 "  wrong: save(file);\n  right: co_await save(file);\n",
                 describe_place(promise_base::of(frame).where).c_str());
}

void returned_without_waiting(const party& p) noexcept {
    std::fprintf(
        stderr,
        "lariat: a task returned control without waiting for anything; it was last resumed %s.\n"
        "  GCC 12 miscompiles a coroutine without local variables that awaits in a condition.\n"
        "  wrong: while (co_await queue.next()) { ... }\n"
        "  right: bool more = true; while (more) { more = co_await queue.next(); ... }\n",
        describe_place(p).c_str());
    std::abort();
}

void ended_while_it_held(const party& p) noexcept {
    std::fprintf(stderr,
                 "lariat: a task ended and still holds a recursive_mutex, which only it can give "
                 "back; it was last resumed %s.\n"
                 "  wrong: auto won = co_await race(m.lock(), sleep(1s));   (the task is race's)\n"
                 "  right: auto guard = co_await timeout(1s, m.lock());\n",
                 describe_place(p).c_str());
    std::abort();
}

party_outcome outcome_of_failure(const party& p) noexcept {
    promise_base& promise = promise_base::of(p.leaf);
    if (*promise.failure().__cxa_exception_type() != typeid(cancelled)) return party_outcome::error;
    if (p.effective()) return party_outcome::cancelled;
    promise.fail(std::make_exception_ptr(std::logic_error(
        "lariat::cancelled was thrown in a task that nobody had cancelled.\n"
        "  wrong: throw lariat::cancelled(), or one rethrown after its scope had ended\n"
        "  right: let it pass where it comes up; to end a task, cancel its handle or scope")));
    return party_outcome::error;
}

}  // namespace detail

namespace {

// libstdc++ and libc++ make it one pointer.
static_assert(sizeof(std::exception_ptr) == sizeof(std::uintptr_t));

union failure_word {
    failure_word() noexcept {}
    ~failure_word() {}
    std::exception_ptr failure;
};

}  // namespace

std::exception_ptr promise_base::failure() const noexcept {
    failure_word kept;
    const std::uintptr_t bits = state_ & ~mark;
    std::memcpy(static_cast<void*>(&kept), &bits, sizeof bits);
    return kept.failure;
}

void promise_base::fail(std::exception_ptr why) noexcept {
    if (failed()) (void)take_failure();
    if (!why) why = std::make_exception_ptr(std::bad_exception());  // a foreign one has no pointer
    failure_word kept;
    ::new (&kept.failure) std::exception_ptr(std::move(why));
    std::memcpy(&state_, static_cast<const void*>(&kept), sizeof state_);
    state_ |= mark;
}

std::exception_ptr promise_base::take_failure() noexcept {
    if (!failed()) return nullptr;
    failure_word kept;
    const std::uintptr_t bits = std::exchange(state_, mark) & ~mark;
    std::memcpy(static_cast<void*>(&kept), &bits, sizeof bits);
    std::exception_ptr taken = std::move(kept.failure);
    kept.failure.~exception_ptr();
    return taken;
}

namespace {

[[gnu::always_inline]] inline scheduler& open(group_core& group) noexcept {
    detail::require(!group.ended, "a task group takes no more tasks once all it had have ended");
    group.home = &detail::required_scheduler("starting a task");
    return *group.home;
}

[[gnu::always_inline]] inline void adopt(group_core& group, party& p,
                                         const party* heir_of) noexcept {
    p.enter(group, heir_of);
    group.children.push_back(p);
    ++group.pending;
}

}  // namespace

void group_core::start(party& p) noexcept {
    const party* parent = open(*this).current;
    adopt(*this, p, parent != nullptr && parent->has_locals() ? parent : nullptr);
    home->ready.push(p);
}

void group_core::start_within(party& starter, party* first, std::size_t count) noexcept {
    scheduler& loop = open(*this);
    // What it has is asked once: it does nothing meanwhile.
    const party* heir_of = starter.has_locals() ? &starter : nullptr;
    const bool too_deep = loop.nested == scheduler::most_nested;
    ++loop.nested;
    for (party* p = first; p != first + count; ++p) {
        adopt(*this, *p, heir_of);
        if (loop.budget <= 1 || too_deep) [[unlikely]] {
            loop.ready.push(*p);
        } else if (p->cancel_pending) [[unlikely]] {
            detail::end_unbegun(*p);
        } else {
            --loop.budget;
            detail::run_until_it_waits(*p, loop, &starter);
            // It came to nothing if this one used up all and lets others run.
            loop.budget = std::max(loop.budget, std::uint32_t{1});
        }
    }
    --loop.nested;
}

void party::destroy_frame() noexcept {
    if (leaf) std::exchange(leaf, {}).destroy();
}

void party::free_spawned() noexcept {
    destroy_frame();
    this->~party();
    deallocate_frame(this, sizeof(party));
}

void waiter::check_thread() const noexcept {
    if (who->owner().home == this_scheduler) return;
    std::fprintf(stderr,
                 "lariat: an object was used from another thread than the one its loop runs on "
                 "(a task that waits for %s was to be woken).\n"
                 "  wrong: event.set() from a plain thread\n"
                 "  right: loop.post([&] { event.set(); })\n",
                 kind().name);
    std::abort();
}

}  // namespace lariat
