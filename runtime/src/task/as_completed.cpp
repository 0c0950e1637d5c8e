#include <lariat/task/as_completed.hpp>

#include <utility>

namespace lariat::detail {

void completion_line::add(item& which, party& p) noexcept {
    which.line = this;
    which.running = &p;
    const bool joins = p.set_joiner(which);
    require(joins, "a task that as_completed waits for is its own");
    ++left;
}

void completion_line::abandon(item& which) noexcept {
    which.unlink();
    party* const p = std::exchange(which.running, nullptr);
    if (p == nullptr) return;
    p->take_joiner();
    p->cancel();
}

void completion_line::item_ended(party_joiner& which) noexcept {
    auto& ended_item = static_cast<item&>(which);
    completion_line& line = *ended_item.line;
    ended_item.running = nullptr;
    line.ended.push_back(ended_item);
    if (line.consumer != nullptr) std::exchange(line.consumer, nullptr)->wake();
}

const wait_kind completion_wait::kind_of_wait{"the next of several tasks to end",
                                              &completion_wait::leave};

void completion_wait::leave(waiter& w) noexcept {
    auto& self = static_cast<completion_wait&>(w);
    self.line_->consumer = nullptr;
    self.line_->busy = false;
    self.wake(wake_reason::cut);
}

completion_line::item* completion_wait::take() {
    throw_if_cut();
    line_->busy = false;
    if (line_->ended.empty()) return nullptr;
    --line_->left;
    return &line_->ended.pop_front();
}

}  // namespace lariat::detail
