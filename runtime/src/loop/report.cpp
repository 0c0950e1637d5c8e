#include <lariat/task/leg.hpp>
#include <lariat/task/local.hpp>
#include <lariat/task/trace.hpp>

#include "loop/loop_state.hpp"

#include <chrono>
#include <cstdio>
#include <source_location>
#include <string>

namespace lariat::detail {

namespace {

/// What a report of a leg needs, noted before it: its task may be gone afterwards. Only a name that
/// was given is copied; the rest are pointers to literals.
struct leg_note {
    explicit leg_note(const ready_item& item) {
        if (item.is_call()) return;
        const party& p = item.task();
        is_task = true;
        name = party_name(p);
        if (!p.leaf) return;
        const promise_base* frame = &promise_base::of(p.leaf);
        resumed = frame->where;
        while (frame->continuation()) frame = &promise_base::of(frame->continuation());
        began = frame->where;
    }
    [[nodiscard]] std::string task() const {
        if (!is_task) return "a call";
        return name.empty() ? describe_function(began) : name;
    }

    bool is_task = false;
    std::string name;
    std::source_location began;
    std::source_location resumed;
};

}  // namespace

void loop_state::report_failure(scheduler& self, const party* who, const std::exception_ptr& error,
                                bool fatal) noexcept {
    auto& loop = static_cast<loop_state&>(self);
    failure_report report;
    report.error = error;
    if (who == nullptr) {
        report.task = "a call";
    } else {
        report.task = describe_party(*who);
        report.trace = trace_of(*who);
    }
    if (loop.options_.report) {
        loop.options_.report(report);
    } else {
        loop.printer_.print(report, fatal, loop.now());
    }
    if (!fatal || !loop.running_) return;
    if (!loop.failed_) loop.failed_ = error;
    if (loop.main_ != nullptr) loop.main_->cancel();
}

void loop_state::run_watched(ready_item item) {
    const leg_note note(item);
    const time_point began = clock::now();
    run_item(item, *this);
    const duration held = clock::now() - began;
    if (held <= saturated(options_.slow_after)) return;
    const auto length = std::chrono::duration_cast<std::chrono::milliseconds>(held);
    std::fprintf(stderr,
                 "lariat: %s held the thread for %lld ms; it was last resumed at %s\n"
                 "  nobody else ran in that time: move blocking work off the loop\n",
                 note.task().c_str(), static_cast<long long>(length.count()),
                 describe_place(note.resumed).c_str());
}

void loop_state::report_left() const {
    std::fprintf(stderr,
                 "lariat: the main task has ended; %zu that it spawned and did not await, "
                 "cancelled now:\n%s",
                 root_.pending, dump_tasks().c_str());
}

}  // namespace lariat::detail
