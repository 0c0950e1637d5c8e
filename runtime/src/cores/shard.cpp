#include <lariat/cores/shard.hpp>

#include <lariat/base/error.hpp>
#include <lariat/task/promise.hpp>

#include <coroutine>
#include <string>
#include <utility>

namespace lariat::detail {

namespace {

const wait_kind idle_wait{"the calls to a sharded object to end", &wait_queue::leave};

class idle_awaiter : public line_point, public single_step {
 public:
    explicit idle_awaiter(wait_queue& line) noexcept : line_point(idle_wait), line_(&line) {}
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> frame) noexcept {
        line_->add(*this);
        park(party_of(frame), frame);
    }
    void await_resume() const { throw_if_cut(); }

 private:
    wait_queue* line_;
};

}  // namespace

task<> shard_core::wait_idle() {
    while (holds_ > 1) {
        idle_awaiter idle(idle_);
        co_await std::move(idle);
    }
}

void shard_core::let_go() noexcept {
    if (--holds_ == 0) {
        destroy_(*this);
    } else if (holds_ == 1) {
        idle_.wake_all();
    }
}

void shard_core::abandon(const loop_ref& where) noexcept {
    if (!where.box()->post(*this)) told_to_go(*this, end::drop);
}

void shard_core::told_to_go(posted& message, end /*how*/) {
    auto& self = static_cast<shard_core&>(message);
    self.close();
    self.let_go();
}

shard_core& require_open(shard_core* found, std::size_t core) {
    if (found != nullptr && found->is_open()) return *found;
    throw closed_error("sharded: there is no instance on core " + std::to_string(core) +
                       ": start() has not made it yet, or stop() has ended it");
}

}  // namespace lariat::detail
