#pragma once

#include <lariat/base/unique_fd.hpp>

#include <cstdint>
#include <optional>
#include <string>

namespace lariat::detail {

/// What a worker and its supervisor say to each other, over a Unix socket of records: the worker
/// asks and blocks, the supervisor's loop answers. A request is one byte of kind and an endpoint's
/// text.
enum class desk_request : std::uint8_t { listener, ready, leaving, closed };

struct desk_message {
    desk_request what = desk_request::ready;
    std::string address;
    std::uint16_t port = 0;
};

/// The two ends. Errors: std::system_error.
struct desk_ends {
    unique_fd worker;
    unique_fd supervisor;
};
[[nodiscard]] desk_ends open_desk();

/// The worker's side. Errors: std::system_error: what the supervisor answered, or that it is gone.
[[nodiscard]] unique_fd ask_for_listener(int desk, const std::string& address, std::uint16_t port);
void say_ready(int desk);
/// It was told to end, by whomever: it takes what its queues hold, and drains.
void say_leaving(int desk) noexcept;
/// Its listeners are closed; it ends. A supervisor that is gone need hear neither.
void say_closed(int desk) noexcept;

/// The supervisor's side: a request if one is there. `gone`: the worker closed its end.
struct desk_news {
    std::optional<desk_message> message;
    bool gone = false;
};
[[nodiscard]] desk_news look_at_desk(int desk);
/// Gives a duplicate of `listener`, or the errno that refused it, with its words.
void answer_listener(int desk, int listener, int error, const std::string& words) noexcept;

}  // namespace lariat::detail
