#pragma once

#include "leak_check.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace lariat::test {

/// A folder of the test's own, which goes with it: a fixture, or a local. It counts leaks too.
class scratch : leak_check {
 public:
    scratch() {
        std::string pattern = (std::filesystem::temp_directory_path() / "lariat-XXXXXX").string();
        REQUIRE(::mkdtemp(pattern.data()) != nullptr);
        folder_ = pattern;
    }
    ~scratch() { std::filesystem::remove_all(folder_); }

    [[nodiscard]] std::string path(std::string_view name) const {
        return (folder_ / name).string();
    }
    /// The names in it.
    [[nodiscard]] std::vector<std::string> names() const {
        std::vector<std::string> all;
        for (const auto& entry : std::filesystem::directory_iterator(folder_))
            all.push_back(entry.path().filename().string());
        return all;
    }

 private:
    std::filesystem::path folder_;
};

}  // namespace lariat::test
