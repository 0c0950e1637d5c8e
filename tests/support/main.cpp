#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include "before_tests.hpp"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include <linux/io_uring.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

/// What meson and automake call "skipped".
constexpr int skipped = 77;

/// Why no test can run on io_uring here, or nullptr. It asks the kernel itself: were the library
/// asked, a driver that never starts would make the whole suite look skipped.
const char* uring_refused() {
    if (!LARIAT_HAS_URING) return "the library was built without liburing";
    io_uring_params params{};
    const long fd = ::syscall(SYS_io_uring_setup, 1, &params);
    if (fd < 0) return std::strerror(errno);
    ::close(static_cast<int>(fd));
    return nullptr;
}

}  // namespace

int main(int argc, char** argv) {
    if (lariat::test::before_tests != nullptr) {
        if (const auto code = lariat::test::before_tests(argc, argv)) return *code;
    }
    const char* backend = std::getenv("LARIAT_BACKEND");
    if (backend != nullptr && std::string_view(backend) == "uring") {
        if (const char* reason = uring_refused()) {
            std::printf("skipped: no io_uring here: %s\n", reason);
            return skipped;
        }
    }
    doctest::Context context;
    context.applyCommandLine(argc, argv);
    return context.run();
}
