#include <lariat/task/error_group.hpp>

#include "loop/report_printer.hpp"

#include <chrono>
#include <cstdio>
#include <utility>

namespace lariat::detail {

void report_printer::print(const failure_report& report, bool fatal, time_point now) {
    if (!fatal) {
        if (second_ == no_wait || now - second_ >= std::chrono::seconds(1)) {
            second_ = now;
            printed_ = 0;
            if (const std::size_t count = std::exchange(left_out_, 0); count != 0)
                std::fprintf(stderr, "lariat: %zu more failures were not printed\n", count);
        }
        if (printed_ == most) {
            ++left_out_;
            return;
        }
        ++printed_;
    }
    const char* what = fatal ? "failed and nobody was there to be told" : "failed";
    std::fprintf(stderr, "lariat: %s %s: %s\n%s", report.task.c_str(), what,
                 describe(report.error).c_str(), report.trace.c_str());
}

}  // namespace lariat::detail
