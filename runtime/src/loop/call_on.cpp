#include <lariat/loop/call_on.hpp>

#include <lariat/base/assert.hpp>
#include <lariat/task/scope.hpp>

#include <utility>

namespace lariat::detail {

const wait_kind remote_call::kind_of_wait{"a call on another loop", &remote_call::cut};

bool remote_call::send() noexcept {
    home_ = this_scheduler;
    here_ = &loop::current().box();
    way_.ended = &arrived;
    holds_.store(1, std::memory_order_relaxed);  // the message releases it
    withdrawn_.store(false, std::memory_order_relaxed);
    ending_ = ending::unreached;
    cut_there_ = false;
    return there_->post(way_);
}

void remote_call::arrived(posted& message, posted::end how) {
    remote_call& self = *static_cast<letter&>(message).of;
    if (how == posted::end::call && !self.withdrawn_.load(std::memory_order_relaxed)) {
        self.start_(self);
        return;
    }
    if (how == posted::end::call) self.ending_ = ending::cut;  // before it began: it never will
    self.let_go();
}

// Posted after the call by the same thread: so the call has arrived.
void remote_call::cut_arrived(posted& message, posted::end how) {
    remote_call& self = *static_cast<letter&>(message).of;
    if (how == posted::end::call) {
        self.cut_there_ = true;
        if (self.worker_ != nullptr) self.worker_->cancel();
    }
    self.let_go();
}

void remote_call::answered(posted& message, posted::end how) {
    if (how == posted::end::call) static_cast<letter&>(message).of->wake();
}

bool remote_call::takes_tasks() noexcept { return !this_scheduler->root->is_cancelled(); }

void remote_call::fail() noexcept {
    failure_ = std::current_exception();
    ending_ = ending::failed;
}

void remote_call::unwound() noexcept {
    if (cut_there_) {
        ending_ = ending::cut;
    } else if (takes_tasks()) {
        fail();  // nobody had cancelled it: the caller's task is told so
    }
}

void remote_call::work_ended() noexcept {
    worker_ = nullptr;
    if (ending_ == ending::unreached && cut_there_) ending_ = ending::cut;  // it never ran
    let_go();
}

void remote_call::let_go() noexcept {
    // Releases what was done here to whoever is the last, who acquires it and answers.
    if (holds_.fetch_sub(1, std::memory_order_acq_rel) == 1) answer();
}

void remote_call::answer() noexcept {
    if (this_scheduler == home_) {
        wake();
        return;
    }
    way_.ended = &answered;
    // Kept here: once the message has arrived, nothing keeps the mailbox from going while it is
    // used.
    const std::shared_ptr<mailbox> box = *here_;
    const bool taken = box->post(way_);
    require(taken, "a loop was closed while a task of its waited for a call on another");
}

void remote_call::cut(waiter& w) noexcept {
    auto& self = static_cast<remote_call&>(w);
    std::uint32_t holds = self.holds_.load(std::memory_order_relaxed);
    do {
        if (holds == 0) return;  // it has ended: the answer is on its way
    } while (!self.holds_.compare_exchange_weak(holds, holds + 1, std::memory_order_relaxed));
    self.withdrawn_.store(true, std::memory_order_relaxed);
    if (!self.there_->post(self.cut_way_)) self.let_go();  // closed: that ends the call as well
}

bool remote_call::reached() {
    if (ending_ == ending::failed) std::rethrow_exception(std::exchange(failure_, nullptr));
    if (ending_ == ending::cut) throw_cancelled();
    return ending_ == ending::done;
}

void remote_call::throw_unreached() {
    throw closed_error("call_on: the other loop closed, or its run ended, before the call did");
}

}  // namespace lariat::detail
