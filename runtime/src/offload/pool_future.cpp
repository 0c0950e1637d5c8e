#include <lariat/offload/pool_future.hpp>

#include <lariat/base/error.hpp>
#include <lariat/loop/loop.hpp>
#include <lariat/task/error_group.hpp>

#include "offload/thread_parker.hpp"

#include <cstdio>
#include <new>

namespace lariat::detail {

namespace {

void tell_nobody(work_listener&) noexcept {}

void print_unheard(const std::exception_ptr& error) {
    std::fprintf(stderr,
                 "lariat: work on a pool of threads failed and nobody was there to be told: %s\n",
                 describe(error).c_str());
}

/// A failure on its way to the report hook of the loop that asked for the work; printed, if that
/// closes before it has come.
struct unheard_failure final : posted {
    explicit unheard_failure(std::exception_ptr what) noexcept
        : posted(&finish), error(std::move(what)) {}

    static void finish(posted& message, end how) {
        const std::unique_ptr<unheard_failure> owner(static_cast<unheard_failure*>(&message));
        if (how == end::call) {
            this_scheduler->report(*this_scheduler, nullptr, owner->error, false);
        } else {
            print_unheard(owner->error);
        }
    }

    std::exception_ptr error;
};

}  // namespace

void block_thread(bool (*start)(void* what, work_listener& me), void* what) {
    require(this_scheduler == nullptr,
            "a loop's thread is not blocked for a pool: co_await the verb of the same name there");
    thread_parker here;
    if (start(what, here)) (void)here.wait_until(forever);
}

work_listener work_core::nobody_more(&tell_nobody);
work_listener work_core::nobody_left(&tell_nobody);
const job_hooks work_core::hooks_of_work{&work_core::dropped, &work_core::admitted};

work_core::work_core(action work, destroyer destroy_it) noexcept
    : blocking_job(work, &hooks_of_work), destroy(destroy_it) {}

void work_core::belong_to(blocking_pool& its_pool) {
    pool = &its_pool;
    if (this_scheduler != nullptr) home = loop::current().box();
    refs.store(2, std::memory_order_relaxed);  // nobody else knows it yet
}

bool work_core::submit_to(blocking_pool& its_pool, work_listener* when_in) {
    belong_to(its_pool);
    room = when_in;
    try {
        return its_pool.submit(*this);
    } catch (...) {
        refs.store(1, std::memory_order_relaxed);
        throw;
    }
}

bool work_core::try_submit_to(blocking_pool& its_pool) {
    belong_to(its_pool);
    try {
        if (its_pool.try_submit(*this)) return true;
    } catch (...) {
        refs.store(1, std::memory_order_relaxed);
        throw;
    }
    refs.store(1, std::memory_order_relaxed);
    return false;
}

void work_core::drop_ref() noexcept {
    // Releases what this side did to whoever is the last, who acquires it.
    if (refs.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    if (how == ending::error && failure) [[unlikely]]
        report_unheard();
    destroy(*this);
}

void work_core::report_unheard() noexcept {
    if (home == nullptr) return print_unheard(failure);
    auto message = std::unique_ptr<unheard_failure>(
        new (std::nothrow) unheard_failure(std::exchange(failure, nullptr)));
    if (message == nullptr) return print_unheard(failure);
    if (home->post(*message)) {
        (void)message.release();
    } else {
        print_unheard(message->error);
    }
}

void work_core::end(ending in_what_way) noexcept {
    how = in_what_way;
    // Releases the result to ended() and listen(); acquires the listener from listen().
    work_listener* const told = listener_.exchange(&nobody_more, std::memory_order_acq_rel);
    if (told == &nobody_left) {
        drop_ref();  // the asker's, left to this side
    } else if (told != nullptr) {
        told->tell(*told);
    }
    drop_ref();
}

bool work_core::listen(work_listener& who) noexcept {
    work_listener* before = nullptr;
    // Releases the listener to end(); on failure acquires the result from it.
    if (listener_.compare_exchange_strong(before, &who, std::memory_order_acq_rel,
                                          std::memory_order_acquire)) {
        return true;
    }
    require(before == &nobody_more, "one at a time may wait for work of a pool");
    return false;
}

bool work_core::stop_listening(work_listener& who) noexcept {
    work_listener* before = &who;
    // On failure acquires the result from end(), which tells, or has told, `who`.
    return listener_.compare_exchange_strong(before, nullptr, std::memory_order_acq_rel,
                                             std::memory_order_acquire);
}

bool work_core::abandon(work_listener& who) noexcept {
    work_listener* before = &who;
    return listener_.compare_exchange_strong(before, &nobody_left, std::memory_order_acq_rel,
                                             std::memory_order_acquire);
}

bool work_core::cancel() noexcept {
    if (ended() || !pool->withdraw(*this)) return false;
    end(ending::cancelled);
    return true;
}

bool work_core::wait_blocking(time_point until) {
    if (ended()) return true;
    require(this_scheduler == nullptr,
            "work of a pool is not waited for by blocking a loop: co_await its handle there");
    thread_parker here;
    if (!listen(here)) return true;
    if (here.wait_until(until)) return true;
    if (stop_listening(here)) return false;
    return here.wait_until(forever);
}

void work_core::throw_failure() {
    if (how == ending::error) std::rethrow_exception(std::exchange(failure, nullptr));
    if (how == ending::cancelled) throw task_cancelled("work of a pool of threads");
    throw closed_error("the pool of threads was shut down before this work began");
}

void work_core::dropped(blocking_job& job, bool was_in_line) noexcept {
    auto& self = static_cast<work_core&>(job);
    work_listener* const waits = was_in_line ? self.room : nullptr;
    self.end(ending::dropped);
    if (waits != nullptr) waits->tell(*waits);
}

void work_core::admitted(blocking_job& job) noexcept {
    work_listener* const waits = static_cast<work_core&>(job).room;
    if (waits != nullptr) waits->tell(*waits);
}

listening_wait::listening_wait(const wait_kind& what) noexcept
    : wait_point(what), work_listener(&told), posted(&arrived) {}

listening_wait::listening_wait(listening_wait&& other) noexcept
    : wait_point(static_cast<wait_point&&>(other)), work_listener(&told), posted(&arrived) {}

void listening_wait::open_box() { box_ = loop::current().box(); }

void listening_wait::told(work_listener& listener) noexcept {
    auto& self = static_cast<listening_wait&>(listener);
    // Kept here: once the message has arrived, nothing keeps the mailbox from going while it is
    // used.
    const std::shared_ptr<mailbox> box = std::move(self.box_);
    const bool taken = box->post(self);
    require(taken, "a loop was closed while a task of its waited for a pool of threads");
}

void listening_wait::arrived(posted& message, end how) {
    if (how == end::call) static_cast<listening_wait&>(message).wake();
}

const wait_kind work_wait::kind_of_wait{"work of a pool of threads", &work_wait::leave};

bool work_wait::must_wait() {
    if (core_->ended()) return false;
    open_box();
    return core_->listen(*this);
}

void work_wait::leave(waiter& w) noexcept {
    auto& self = static_cast<work_wait&>(w);
    if (!self.core_->stop_listening(self)) return;  // it has ended: the message is on its way
    self.close_box();
    self.wake(wake_reason::cut);
}

const wait_kind submit_wait::kind_of_wait{"room in a pool of threads", &submit_wait::leave};

bool submit_wait::must_wait() {
    open_box();
    return !core_->submit_to(*pool_, this);
}

void submit_wait::leave(waiter& w) noexcept {
    auto& self = static_cast<submit_wait&>(w);
    if (!self.pool_->leave_line(*self.core_)) return;  // it came in: the message is on its way
    self.close_box();
    self.core_->end(work_core::ending::cancelled);
    self.wake(wake_reason::cut);
}

const wait_kind abandoning_wait::kind_of_wait{"work on another thread", &abandoning_wait::leave};

void abandoning_wait::start() {
    open_box();
    (void)core_->listen(*this);  // it has not begun
    (void)core_->submit_to(*pool_, nullptr);
}

void abandoning_wait::leave(waiter& w) noexcept {
    auto& self = static_cast<abandoning_wait&>(w);
    if (self.core_->ended()) return;  // the message is on its way
    if (self.pool_->withdraw(*self.core_)) {
        (void)self.core_->stop_listening(self);
        self.core_->end(work_core::ending::cancelled);
    } else if (self.core_->abandon(self)) {
        self.core_ = nullptr;
    } else {
        return;
    }
    self.close_box();
    self.wake(wake_reason::cut);
}

}  // namespace lariat::detail
