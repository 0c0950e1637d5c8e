#include <lariat/loop/call.hpp>
#include <lariat/task/leg.hpp>

#include "loop/loop_state.hpp"

namespace lariat::detail {

void scheduled_call::schedule_soon(scheduler& here) noexcept {
    home = &here;
    run = &run_call;
    here.ready.push(*this);
}

void scheduled_call::schedule_at(scheduler& here, time_point when) noexcept {
    home = &here;
    run = &run_call;
    fire = &due;
    here.timers.arm(*this, when);
}

bool scheduled_call::cancel() noexcept {
    if (over) return false;
    over = true;
    if (!owns_nothing) ended(*this, end::drop);
    if (!timer_entry::armed())
        return true;  // on the ready queue: its turn drops the loop's reference
    home->timers.disarm(*this);
    drop_ref();
    return true;
}

// What a dropped function owned may ask for more, and spawn: nothing of it begins.
void scheduled_call::drop_all(scheduler& home) noexcept {
    for (;;) {
        while (!home.ready.empty()) {
            const ready_item item = home.ready.pop();
            if (!item.is_call()) {
                run_item(item, home);
                continue;
            }
            require(item.call().run == &run_call, "a loop that closes has no work of its own left");
            auto& call = static_cast<scheduled_call&>(item.call());
            (void)call.cancel();
            call.drop_ref();
        }
        timer_entry* const armed = home.timers.any();
        if (armed == nullptr) return;
        if (armed->fire == &due) {
            (void)static_cast<scheduled_call*>(armed)->cancel();
        } else {
            home.timers.disarm(*armed);
        }
    }
}

void scheduled_call::let_go() noexcept {
    const std::uint32_t size = bytes;
    this->~scheduled_call();
    deallocate_frame(this, size);
}

void scheduled_call::due(timer_entry& self) noexcept {
    auto& call = static_cast<scheduled_call&>(self);
    call.home->ready.push(call);
}

void scheduled_call::run_call(runnable& self) noexcept {
    auto& call = static_cast<scheduled_call&>(self);
    if (!call.over) {
        call.over = true;
        try {
            call.ended(call, end::call);
        } catch (...) {
            call.home->report(*call.home, nullptr, std::current_exception(), true);
        }
    }
    call.drop_ref();
}

}  // namespace lariat::detail
