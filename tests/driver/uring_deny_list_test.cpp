#include "driver/uring/deny_list.hpp"

#include <lariat/driver/options.hpp>

#include <doctest/doctest.h>

namespace {

bool accepts_many(const char* release) {
    const std::uint32_t denied = lariat::detail::denied_features(release);
    return (denied & static_cast<std::uint32_t>(lariat::uring_feature::multishot_accept)) == 0;
}

}  // namespace

TEST_CASE("deny list: multishot accept is left alone where it loses descriptors") {
    for (const char* release :
         {"6.6.0-rc1", "6.6.0", "6.6.1", "6.6.17-generic", "6.7.0-rc8", "6.7.0", "6.7.5-arch1-1",
          "6.7.5+", "6.8.0-rc1", "6.8.0-rc3", "6.8.0-rc4+"}) {
        CAPTURE(release);
        CHECK(!accepts_many(release));
    }
}

TEST_CASE("deny list: it is used before and after") {
    for (const char* release : {"5.15.0-1-amd64", "6.1.0-18-amd64", "6.5.13", "6.6.18", "6.6.100",
                                "6.7.6", "6.7.12", "6.8.0-rc5", "6.8.0-rc7", "6.8.0-31-generic",
                                "6.8.0", "6.9.1", "6.12.5", "6.18.0-rc2", "7.0.0", "16.6.1"}) {
        CAPTURE(release);
        CHECK(accepts_many(release));
    }
}

TEST_CASE("deny list: a name that is no release denies nothing") {
    for (const char* release : {"", "linux", "6", "6.", ".6.7", "-rc1", "99999999999999999999.6"})
        CHECK(lariat::detail::denied_features(release) == 0);
}
