#pragma once

#include <lariat/base/clock.hpp>
#include <lariat/loop/options.hpp>

#include <cstddef>

namespace lariat::detail {

/// The default report hook: prints to stderr.
///
/// Limits       of failures that do not end the run, a connection's for instance, `most` a second:
///              whoever makes connections fail must not fill a disk. How many were left out is said
class report_printer {
 public:
    static constexpr std::size_t most = 10;

    void print(const failure_report& report, bool fatal, time_point now);

 private:
    time_point second_ = no_wait;  ///< when the present second began
    std::size_t printed_ = 0;      ///< in it
    std::size_t left_out_ = 0;
};

}  // namespace lariat::detail
