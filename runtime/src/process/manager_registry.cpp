#include "process/manager_registry.hpp"

#include <lariat/base/error.hpp>

#include <cstring>
#include <mutex>
#include <stdexcept>
#include <unordered_map>

namespace lariat::detail {

namespace {

struct entry {
    served_call call{};
    bool ambiguous = false;
};
struct registry {
    std::mutex mutex;
    std::unordered_map<std::uint64_t, entry> calls;
};

// Never destroyed: a library may be unloaded, and a manager serve, later than any order of ours.
registry& all_calls() {
    static registry& made = *new registry;
    return made;
}

/// Whether the name stands for one type in the whole program, and in others of the same source.
bool is_unique(const std::type_info& type) noexcept {
    return std::strstr(type.name(), "_GLOBAL__N_") == nullptr;
}

}  // namespace

std::uint64_t enter_call(const served_call& call) {
    const std::uint64_t key = name_key(call.name->name());
    registry& all = all_calls();
    const std::lock_guard lock(all.mutex);
    const auto [found, is_new] = all.calls.try_emplace(key);
    if (is_new) {
        found->second.call = call;
    } else if (std::strcmp(found->second.call.name->name(), call.name->name()) != 0) {
        found->second.ambiguous = true;  // two names of one key
    } else if (found->second.call.on != call.on && !is_unique(*call.name)) {
        found->second.ambiguous = true;
    }
    return key;
}

const served_call* find_call(std::uint64_t key) {
    registry& all = all_calls();
    const std::lock_guard lock(all.mutex);
    const auto found = all.calls.find(key);
    if (found == all.calls.end()) return nullptr;
    if (found->second.ambiguous)
        throw std::logic_error("a manager cannot tell two types apart that are both called " +
                               type_name(*found->second.call.name) +
                               ": move one of them out of the unnamed namespace");
    return &found->second.call;
}

}  // namespace lariat::detail
