#pragma once

#include <optional>

namespace lariat::test {

/// What an area has to do before all else, if it defines this. An exit code ends the program there.
[[gnu::weak]] std::optional<int> before_tests(int argc, char** argv);

}  // namespace lariat::test
