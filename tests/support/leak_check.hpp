#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace lariat::test {

/// Counts frames and open descriptors where it is made, and again where it goes: a test fixture, or
/// the first thing in a test. More of either fails the test.
class leak_check {
 public:
    leak_check();
    leak_check(const leak_check&) = delete;
    leak_check& operator=(const leak_check&) = delete;
    ~leak_check();

 private:
    std::size_t frames_;
    std::vector<std::string> descriptors_;
};

/// "5 -> socket:[1234]", a line for each open descriptor of this process.
[[nodiscard]] std::vector<std::string> open_descriptors();

/// Whether LARIAT_TEST_LONG=1 asks for the long random parts.
[[nodiscard]] bool long_tests() noexcept;

}  // namespace lariat::test
