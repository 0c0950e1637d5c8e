#pragma once

#include <lariat/base/unique_fd.hpp>
#include <lariat/process/start_request.hpp>
#include <lariat/process/transaction.hpp>

#include "process/family.hpp"

#include <cstdint>
#include <vector>

#include <sys/resource.h>

#include <signal.h>

namespace lariat::detail {

/// What a process that was just forked is to become.
struct birth {
    const call_entry* entry = nullptr;
    parcel given;                           ///< but for its references
    std::vector<std::uint64_t> references;  ///< by name
    unique_fd body;  ///< or empty: where references and bytes are, if they are too many
    family::identity who;
    unique_fd channel;
    owner_id owner = nobody;
    int core = -1;
    pid_t server = 0;
    const sigset_t* mask = nullptr;
    const rlimit* limit = nullptr;  ///< of descriptors
};

/// Runs the process to its end. Pre: forked from the fork server a moment ago.
[[noreturn]] void live(birth& as) noexcept;

}  // namespace lariat::detail
