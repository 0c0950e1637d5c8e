#include "loop/report_printer.hpp"

#include "death.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <exception>
#include <stdexcept>
#include <string>

namespace {

using namespace std::chrono_literals;
using lariat::test::run_in_child;

std::size_t lines_with(const std::string& text, const std::string& words) {
    std::size_t count = 0;
    for (std::size_t at = text.find(words); at != std::string::npos; at = text.find(words, at + 1))
        ++count;
    return count;
}

TEST_CASE("report_printer: a flood of failures prints ten a second and says how many it left out") {
    const auto ended = run_in_child([] {
        lariat::detail::report_printer printer;
        lariat::failure_report report;
        report.task = "a connection";
        report.error = std::make_exception_ptr(std::runtime_error("reset"));
        const lariat::time_point start{1h};
        for (int i = 0; i < 1000; ++i) printer.print(report, false, start + i * 1us);
        printer.print(report, true, start + 500ms);  // what ends a run is always printed
        printer.print(report, false, start + 1s);
    });
    CHECK(ended.exit_code == 0);
    CHECK(lines_with(ended.text, "a connection failed: reset\n") == 11);
    CHECK(lines_with(ended.text, "a connection failed and nobody was there to be told") == 1);
    CHECK(lines_with(ended.text, "990 more failures were not printed\n") == 1);
}

}  // namespace
