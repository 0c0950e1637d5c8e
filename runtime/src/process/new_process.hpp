#pragma once

#include <lariat/base/unique_fd.hpp>
#include <lariat/process/image_pointer.hpp>
#include <lariat/process/start_request.hpp>
#include <lariat/process/transaction.hpp>

#include "process/family.hpp"

#include <cstdint>
#include <vector>

#include <sys/resource.h>

namespace lariat::detail {

/// What a process that was just forked is to become.
struct birth {
    image_pointer<call_entry> entry;
    parcel given;                           ///< but for its references
    std::vector<std::uint64_t> references;  ///< by name
    unique_fd body;  ///< or empty: where references and bytes are, if they are too many
    family::identity who;
    unique_fd channel;
    owner_id owner = nobody;
    std::int64_t core = -1;
    pid_t server = 0;
    const rlimit* limit = nullptr;  ///< of descriptors
};

/// Runs the process to its end. Pre: forked from the fork server a moment ago.
[[noreturn]] void live(birth& as) noexcept;

/// Its parts. First: only what it was given is open, and it is a process of the family.
void begin_life(birth& as);
void name_thread(const birth& as) noexcept;
void unblock_signals() noexcept;
/// Last: calls the function, tells what it throws, and exits.
[[noreturn]] void run_and_exit(birth& as) noexcept;
/// Tells the fork server what exception ends this process.
void tell(const std::exception_ptr& thrown) noexcept;

}  // namespace lariat::detail
