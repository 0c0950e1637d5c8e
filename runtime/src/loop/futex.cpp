#include <lariat/base/assert.hpp>
#include <lariat/base/error.hpp>
#include <lariat/loop/futex.hpp>

#include "loop/futex_helper.hpp"
#include "loop/loop_state.hpp"

#include <cerrno>
#include <new>
#include <utility>

namespace lariat::detail {

futex_watch::futex_watch(completion on_end) noexcept
    : futex_errand(&futex_watch::arrived), complete_(on_end) {
    op::code = op_code::futex_wait;
    op::complete = &futex_watch::completed;
}

futex_watch::futex_watch(futex_watch&& other) noexcept : futex_watch(other.complete_) {
    require(other.idle(), "an awaitable is moved before it is awaited");
}

futex_watch::~futex_watch() {
    require(idle(), "what waits for a shared word stays until that wait has ended");
}

std::optional<futex_end> futex_watch::start(const futex_word& on,
                                            std::uint32_t while_value) noexcept {
    require(idle(), "one wait at a time");
    // Relaxed: whoever waits looks again by itself.
    if (on.load(std::memory_order_relaxed) != while_value) return futex_end::changed;
    futex_errand::word = &on;
    futex_errand::expected = while_value;
    withdrawn_ = false;
    loop_state& loop = loop_state::current();
    if (loop.futexes_refused_) return refused(-EOPNOTSUPP);
    op::address = const_cast<futex_word*>(&on);
    op::argument = while_value;
    if (!detail::submit(*this)) {
        hold(loop, place::driver);
        return std::nullopt;
    }
    if (op::result >= 0) return futex_end::woken;
    if (op::result == -EAGAIN) return futex_end::changed;
    return refused(op::result);
}

/// Nothing has begun: the helper is to do it. Returns how it ended, if that failed too.
std::optional<futex_end> futex_watch::refused(std::int32_t answer) noexcept {
    loop_state& loop = loop_state::current();
    if (answer == -EOPNOTSUPP) loop.futexes_refused_ = true;
    futex_errand::box = &loop.box_;
    try {
        futex_helper::shared().add(*this);
    } catch (const std::system_error& failure) {
        error_ = failure.code();
        return futex_end::failed;
    } catch (const std::bad_alloc&) {
        error_ = system_code(-ENOMEM);
        return futex_end::failed;
    }
    hold(loop, place::helper);
    return std::nullopt;
}

/// The run does not end before the completion, or the helper's message, has come.
void futex_watch::hold(loop_state& loop, place with) noexcept {
    place_ = with;
    ++loop.orphans_;
    loop.expect();
}

void futex_watch::release() noexcept {
    place_ = place::idle;
    loop_state& loop = loop_state::current();
    --loop.orphans_;
    loop.expect_no_more();
}

void futex_watch::cancel() noexcept {
    withdrawn_ = true;
    if (place_ == place::driver) detail::cancel(*this);
    if (place_ == place::helper) futex_helper::shared().cancel(*this);
}

void futex_watch::completed(op& done) noexcept {
    auto& self = static_cast<futex_watch&>(done);
    self.release();
    if (done.result >= 0) return self.end(futex_end::woken);
    if (done.result == -EAGAIN) return self.end(futex_end::changed);
    if (done.result == -ECANCELED || self.withdrawn_) return self.end(futex_end::cancelled);
    if (const auto over = self.refused(done.result)) self.end(*over);
}

void futex_watch::arrived(posted& message, posted::end how) {
    auto& self = static_cast<futex_watch&>(static_cast<futex_errand&>(message));
    self.release();
    if (how == posted::end::call) self.end(self.ended_as);
}

futex_wait_point::futex_wait_point(futex_wait_point&& other) noexcept
    : wait_point(static_cast<wait_point&&>(other)),
      futex_watch(static_cast<futex_watch&&>(other)),
      rules_(other.rules_) {}

bool futex_wait_point::keep_trying(futex_step step) noexcept {
    while (!step.is_done()) {
        const auto over = start(step.word(), step.value());
        if (!over) return true;
        if (*over == futex_end::failed) {
            failure_ = error();
            return false;
        }
        step = rules_->attempt(*this);
    }
    return false;
}

void futex_wait_point::ended(futex_watch& watch, futex_end how) noexcept {
    auto& self = static_cast<futex_wait_point&>(watch);
    if (self.cut_asked_) {
        self.rules_->cut(self, how == futex_end::woken);
        self.end(wake_reason::cut);
    } else if (how == futex_end::failed) {
        self.failure_ = self.error();
        self.end(wake_reason::done);
    } else if (!self.keep_trying(self.rules_->attempt(self))) {
        self.end(wake_reason::done);
    }
}

/// The last it does: the frame may go on.
void futex_wait_point::end(wake_reason how) noexcept {
    if (arm_ == nullptr) return wake(how);
    const late_arm_reports& to = *std::exchange(arm_, nullptr);
    (how == wake_reason::cut ? to.left : to.over)(*this);
}

bool futex_wait_point::enlist(party& p, const late_arm_reports& to) noexcept {
    who = &p;
    arm_ = &to;
    cut_asked_ = false;
    failure_.clear();
    if (keep_trying(rules_->attempt(*this))) return true;
    arm_ = nullptr;
    return false;
}

bool futex_wait_point::withdraw() noexcept {
    if (idle()) return true;
    cut_asked_ = true;
    cancel();
    return false;
}

void futex_wait_point::leave(waiter& w) noexcept {
    auto& self = static_cast<futex_wait_point&>(static_cast<wait_point&>(w));
    self.cut_asked_ = true;
    self.cancel();
}

void futex_wait_point::throw_failure() const {
    throw_error(failure_, "waiting for shared memory: no helper thread can be started");
}

}  // namespace lariat::detail
