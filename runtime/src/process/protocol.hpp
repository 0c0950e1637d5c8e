#pragma once

// What a family's processes and its fork server say to each other. They run one program, so the
// records travel as they lie in memory. A message begins with its record; the rest follows.

#include <lariat/process/image_pointer.hpp>
#include <lariat/process/packed_call.hpp>

#include <cstddef>
#include <cstdint>

namespace lariat::detail {

/// The largest message, of which a call's arguments may be the larger part; what is beyond goes
/// through a memfd.
inline constexpr std::size_t most_inline_bytes = 32 * 1024;
inline constexpr std::size_t most_name_bytes = 255;
inline constexpr std::size_t most_failure_bytes = 16 * 1024;  // a longer text is cut
inline constexpr std::size_t message_bytes = most_inline_bytes + 4096;
inline constexpr std::size_t most_descriptors = 250;  // three less than a message takes

enum class message : std::uint32_t { start, failure, leave, kill };

/// message::start: then the name, and the body unless that lies in a memfd. Descriptors: the status
/// socket's other end, the memfd if there is one, the arguments'.
///
/// A body is the references under way, 8 bytes each, and the arguments' bytes.
struct start_message {
    message what = message::start;
    std::uint32_t name_bytes = 0;
    image_pointer<call_entry> entry;
    std::uint64_t body_bytes = 0;
    std::int64_t core = -1;
    std::uint32_t references = 0;
    std::uint32_t descriptors = 0;
    bool daemon = false;
    bool anew = false;  ///< the program is executed again
    bool body_in_memory_file = false;
};

/// Where a start ended.
enum class start_step : std::uint32_t { done, request, slot, channel, fork, watch, send, server };

/// The answer to it; with a pidfd if it was done. With a pid, the references under way are that
/// process's, and else again whose they were.
struct start_reply {
    std::int32_t error = 0;
    start_step step = start_step::done;
    std::int32_t pid = 0;
};

/// message::failure, from a process that an exception ends; a packed exception_record follows.
struct failure_message {
    message what = message::failure;
    std::uint32_t record_bytes = 0;
};

/// message::leave, from the first process at its end; answered when those that go with it have
/// gone.
struct leave_message {
    message what = message::leave;
};
struct leave_reply {
    std::uint32_t last = 0;  ///< the fork server ends too: nobody else is left
};

/// message::kill: of a process that could be started but not be handed over.
struct kill_message {
    message what = message::kill;
    std::int32_t pid = 0;
};

/// Comes through the status socket when the process has ended and was reaped; a packed
/// exception_record follows if an exception ended it.
struct end_record {
    std::int32_t code = 0;  ///< exit code, or -N for signal N
    std::uint32_t record_bytes = 0;
};

}  // namespace lariat::detail
