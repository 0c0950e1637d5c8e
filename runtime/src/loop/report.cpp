#include <lariat/task/error_group.hpp>
#include <lariat/task/local.hpp>
#include <lariat/task/trace.hpp>

#include "loop/loop_state.hpp"

#include <cstdio>
#include <string>

namespace lariat::detail {

namespace {

void print_report(const failure_report& report) {
    std::fprintf(stderr, "lariat: %s failed and nobody was there to be told: %s\n%s",
                 report.task.c_str(), describe(report.error).c_str(), report.trace.c_str());
}

}  // namespace

void loop_state::report_failure(scheduler& self, const party* who,
                                const std::exception_ptr& error, bool fatal) noexcept {
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
        print_report(report);
    }
    if (!fatal) return;
    if (!loop.failed_) loop.failed_ = error;
    if (loop.main_ != nullptr) loop.main_->cancel();
}

void loop_state::run_watched(runnable& item) {
    const time_point began = clock::now();
    const bool is_party = item.run == &party::run_leg;
    const auto* before = is_party ? &static_cast<party&>(item) : nullptr;
    const std::string resumed_at = before != nullptr ? describe_place(*before) : std::string();
    const std::string name = before != nullptr ? describe_party(*before) : "a call";
    item.run(item);
    const duration held = clock::now() - began;
    if (held <= options_.slow_after) return;
    std::fprintf(stderr,
                 "lariat: %s held the thread for %lld ms; it was last resumed %s\n"
                 "  nobody else ran in that time: move blocking work off the loop\n",
                 name.c_str(),
                 static_cast<long long>(
                     std::chrono::duration_cast<std::chrono::milliseconds>(held).count()),
                 resumed_at.c_str());
}

}  // namespace lariat::detail
