#include <lariat/task/trace.hpp>

#include "loop/loop_state.hpp"

#include <cstdio>

namespace lariat::detail {

void loop_state::begin_signals() {
    interrupted_ = false;
    signals_.begin_run(options_.handle_interrupt, debug);
}

void loop_state::handle_signals() {
    const signal_desk::run_news news = signals_.take_run_news();
    if (news.dump) std::fputs(dump_tasks().c_str(), stderr);
    if (!news.interrupt) return;
    if (main_ == nullptr) return die_of_interrupt();  // only what it left behind is still ending
    interrupted_ = true;
    main_->cancel();
}

void loop_state::end_signals(bool main_cancelled) {
    const bool late = signals_.take_run_news().interrupt;
    if (late || (interrupted_ && main_cancelled)) die_of_interrupt();
}

void loop_state::die_of_interrupt() noexcept {
    signals_.end_run();
    std::fflush(stdout);  // what the main task said while it unwound: dying flushes nothing
    signal_hub::die_of(SIGINT);
}

}  // namespace lariat::detail
