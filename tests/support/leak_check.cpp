#include "leak_check.hpp"

#include <lariat/base/frame_allocator.hpp>
#include <lariat/offload/blocking.hpp>

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <thread>

namespace lariat::test {

namespace {

std::string in_lines(const std::vector<std::string>& items) {
    std::string text;
    for (const std::string& item : items) text += "\n  " + item;
    return text;
}

}  // namespace

std::vector<std::string> open_descriptors() {
    std::vector<std::string> open;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
        std::error_code gone;  // the descriptor that lists the folder is closed by then
        const auto target = std::filesystem::read_symlink(entry.path(), gone);
        if (gone || target.native().starts_with("/proc/")) continue;
        open.push_back(entry.path().filename().string() + " -> " + target.string());
    }
    return open;
}

leak_check::leak_check() : frames_(live_frames()), descriptors_(open_descriptors()) {}

leak_check::~leak_check() {
    // A worker gives its answer, and a moment later what it held of the question: that is no leak.
    while (detail::blocking_pool::shared().stats().running != 0) std::this_thread::yield();
    const std::size_t frames = live_frames();
    CHECK_MESSAGE(frames == frames_, "frames that nobody freed (or freed twice): ", frames,
                  " are alive, ", frames_, " were before the test");
    const std::vector<std::string> now = open_descriptors();
    CHECK_MESSAGE(now.size() == descriptors_.size(), "descriptors, before:", in_lines(descriptors_),
                  "\nafter:", in_lines(now));
}

bool long_tests() noexcept {
    const char* asked = std::getenv("LARIAT_TEST_LONG");
    return asked != nullptr && std::string_view(asked) == "1";
}

}  // namespace lariat::test
