#include "campaign_support.hpp"

#include <lariat/base/clock.hpp>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <stdexcept>

namespace lariat::test {

std::uint64_t asked_for(const char* variable, std::uint64_t otherwise) {
    const char* const text = std::getenv(variable);
    return text == nullptr || *text == '\0' ? otherwise : std::strtoull(text, nullptr, 10);
}

namespace {

template <class Stage, class Do>
void each_part(Stage& of, Do with) {
    with(of.over);
    with(of.jobs);
    with(of.jobs_done);
    with(of.deliveries);
    with(of.delivered);
    with(of.texts);
    with(of.handles);
    with(of.mutex);
    with(of.recursive);
    with(of.one_at_a_time);
    with(of.readers_and_writers);
    with(of.pairs);
    with(of.at_most);
    with(of.tokens_lock);
    with(of.tokens_changed);
    with(of.tokens);
    with(of.two);
    with(of.now_and_then);
}

/// Nanoseconds that a process has run, and has waited to.
std::uint64_t busy_of(int pid) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/schedstat");
    std::uint64_t ran = 0;
    std::uint64_t waited = 0;
    file >> ran >> waited;
    return ran + waited;
}

}  // namespace

void stage::pack_into(detail::parcel_writer& to) const {
    each_part(*this, [&to](const auto& each) { detail::write_value(to, each); });
}

stage stage::unpack_from(detail::parcel_reader& from) {
    stage made;
    each_part(made, [&from](auto& each) {
        each = detail::read_value<std::remove_cvref_t<decltype(each)>>(from);
    });
    return made;
}

void look_inside(const stage& on, pair_of which) {
    const auto first = static_cast<std::size_t>(which);
    if (on.pairs.get(first) != on.pairs.get(first + 1))
        throw std::logic_error("two were inside at once, at pair " + std::to_string(first));
}

void work_inside(const stage& on, pair_of which) {
    const auto first = static_cast<std::size_t>(which);
    look_inside(on, which);
    const std::uint64_t next = on.pairs.get(first) + 1;
    on.pairs.set(first, next);
    on.pairs.set(first + 1, next);
}

void repair_inside(const stage& on, pair_of which) {
    const auto first = static_cast<std::size_t>(which);
    on.pairs.set(first + 1, on.pairs.get(first));
}

std::string sound_text(std::uint32_t bytes) {
    std::string text = std::to_string(bytes) + ' ';
    while (text.size() < bytes + 8) text.push_back(static_cast<char>('a' + text.size() % 26));
    return text;
}

void check_text(const std::string& text) {
    const auto bytes = static_cast<std::uint32_t>(std::strtoul(text.c_str(), nullptr, 10));
    if (text != sound_text(bytes)) throw std::logic_error("a damaged text");
}

bool ends(const process& child, const std::array<int, seats + 1>& family) {
    const auto busy = [&family] {
        std::uint64_t all = 0;
        for (const int each : family) all += busy_of(each);
        return all;
    };
    std::uint64_t before = busy();
    const time_point began = clock::now();
    int silent = 0;  // looks of 50 ms: the time that this process stands still itself is one
    while (!child.join_blocking(std::chrono::milliseconds(50))) {
        const std::uint64_t now = busy();
        const time_point moment = clock::now();
        silent = now == before ? silent + 1 : 0;
        before = now;
        if (silent > 20) return false;                                // a second
        if (moment - began > std::chrono::seconds(20)) return false;  // they turn in circles
    }
    return true;
}

}  // namespace lariat::test
