#include "driver/uring/deny_list.hpp"

#include <lariat/driver/options.hpp>

#include <array>
#include <charconv>
#include <compare>

#include <sys/utsname.h>

namespace lariat::detail {

namespace {

/// 6.8.0-rc4 is {6, 8, 0, 4}. Anything else behind the numbers is a distribution's: it had the
/// release, not a candidate.
struct version {
    static constexpr unsigned released = 999;

    unsigned major = 0;
    unsigned minor = 0;
    unsigned patch = 0;
    unsigned candidate = released;

    auto operator<=>(const version&) const = default;
};

struct row {
    version first;  ///< that has the bug
    version fixed;
    uring_feature feature;
};

/// A distribution that backports says an older number than it deserves: it loses some speed here.
constexpr std::array rows{
    // Multishot accept on a full completion queue reports poll events (195) as the new descriptor,
    // which is lost. Since 515e26961295 in 6.6-rc1; mended by a37ee9e117ef in 6.8-rc5, which 6.7.6
    // and 6.6.18 took over (liburing #1062).
    row{{6, 6, 0, 1}, {6, 6, 18}, uring_feature::multishot_accept},
    row{{6, 7, 0, 1}, {6, 7, 6}, uring_feature::multishot_accept},
    row{{6, 8, 0, 1}, {6, 8, 0, 5}, uring_feature::multishot_accept},
};

bool skip(std::string_view& text, std::string_view word) noexcept {
    if (!text.starts_with(word)) return false;
    text.remove_prefix(word.size());
    return true;
}

void take_number(std::string_view& text, unsigned& number) noexcept {
    const auto end = std::from_chars(text.data(), text.data() + text.size(), number).ptr;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
}

version parse(std::string_view release) noexcept {
    version found;
    take_number(release, found.major);
    if (skip(release, ".")) take_number(release, found.minor);
    if (skip(release, ".")) take_number(release, found.patch);
    if (skip(release, "-rc")) take_number(release, found.candidate);
    return found;
}

}  // namespace

std::uint32_t denied_features(std::string_view release) noexcept {
    const version running = parse(release);
    std::uint32_t denied = 0;
    for (const row& each : rows)
        if (running >= each.first && running < each.fixed)
            denied |= static_cast<std::uint32_t>(each.feature);
    return denied;
}

std::uint32_t denied_features() noexcept {
    utsname names{};
    return ::uname(&names) == 0 ? denied_features(names.release) : 0;
}

}  // namespace lariat::detail
