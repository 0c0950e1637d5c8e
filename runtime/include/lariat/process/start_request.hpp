#pragma once

#include <lariat/process/packed_call.hpp>
#include <lariat/process/process_options.hpp>

#include <cstdint>
#include <utility>

namespace lariat::detail {

/// A process to be started.
struct start_request {
    packed_call call;             ///< given away if the process is started, else still here
    std::uintptr_t function = 0;  ///< its address, for one that has one
    process_options options;
    bool anew = false;  ///< in the program executed again
};

template <class Fn, class... Args>
[[nodiscard]] start_request make_request(const process_options& options, Fn&& function,
                                         Args&&... args) {
    start_request request;
    request.options = options;
    if constexpr (plain_function<std::decay_t<Fn>>)
        request.function = reinterpret_cast<std::uintptr_t>(+function);
    request.call =
        pack_call<call_result::dropped>(std::forward<Fn>(function), std::forward<Args>(args)...);
    return request;
}

}  // namespace lariat::detail
