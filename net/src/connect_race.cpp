#include "connect_race.hpp"

#include <algorithm>
#include <cstddef>

namespace lariat::detail {

std::string in_brackets(const connect_failures& failed) {
    if (failed.each.size() < 2) return {};
    std::string text;
    for (const auto& [to, why] : failed.each)
        text += (text.empty() ? " (" : "; ") + to.to_string() + ": " + why.message();
    return text + ")";
}

std::vector<endpoint> families_in_turn(const std::vector<endpoint>& found) {
    std::vector<endpoint> preferred;
    std::vector<endpoint> other;
    for (const endpoint& each : found) {
        const bool same = each.address().family() == found.front().address().family();
        (same ? preferred : other).push_back(each);
    }
    std::vector<endpoint> mixed;
    for (std::size_t i = 0; i < std::max(preferred.size(), other.size()); ++i) {
        if (i < preferred.size()) mixed.push_back(preferred[i]);
        if (i < other.size()) mixed.push_back(other[i]);
    }
    return mixed;
}

}  // namespace lariat::detail
