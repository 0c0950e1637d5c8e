#include <lariat/task/join_handle.hpp>
#include <lariat/task/promise.hpp>
#include <lariat/task/spawn.hpp>

namespace lariat::detail {

void party_ref::drop_held() noexcept {
    party& p = *std::exchange(party_, nullptr);
    if (p.unclaimed_error) {
        p.claim_error();
        scheduler& home = *p.owner().home;  // it need not be the one that runs here, if one does
        home.report(home, &p, promise_base::of(p.leaf).failure(), true);
    }
    p.drop_ref();
}

const wait_kind join_awaiter::kind_of_wait{"a task to end", &join_awaiter::leave};

void join_awaiter::leave(waiter& w) noexcept {
    static_cast<join_awaiter&>(w).target_->take_joiner();
    w.wake(wake_reason::cut);
}

group_core& root_group(const char* what) noexcept {
    scheduler& home = required_scheduler(what);
    require(home.root != nullptr, "tasks are spawned while the loop runs");
    return *home.root;
}

}  // namespace lariat::detail
