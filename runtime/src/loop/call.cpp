#include <lariat/loop/call.hpp>
#include <lariat/task/leg.hpp>

#include "loop/loop_state.hpp"

namespace lariat::detail {

scheduled_call::scheduled_call(action on_end, std::uint32_t size) noexcept
    : timer_entry(&due), ended(on_end), bytes(size) {
    run = &run_call;
}

bool scheduled_call::cancel() noexcept {
    if (over) return false;
    over = true;
    ended(*this, end::drop);
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

void scheduled_call::drop_ref() noexcept {
    if (--refs != 0) return;
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

void schedule_soon(scheduled_call& call) noexcept {
    call.home = &required_scheduler("call_soon");
    call.home->ready.push(call);
}

void schedule_at(scheduled_call& call, time_point when) noexcept {
    call.home = &required_scheduler("call_at");
    call.home->timers.arm(call, when);
}

}  // namespace lariat::detail
