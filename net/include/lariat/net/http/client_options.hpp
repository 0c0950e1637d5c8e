#pragma once

#include <lariat/base/clock.hpp>
#include <lariat/net/http/headers.hpp>

#include <chrono>
#include <cstddef>
#include <string>

namespace lariat::http {

/// How a client behaves. `duration::max()` turns a timeout off.
struct client_options {
    /// Kept for https, which is refused so far: whether a server must prove who it is.
    bool verify_tls = true;

    std::size_t max_connections_per_host = 16;       ///< at once, idle ones included; at least 1
    std::size_t max_idle_connections = 64;           ///< kept for further requests, over all hosts
    duration keep_alive = std::chrono::seconds(30);  ///< how long one is kept without a request

    duration connect_timeout = std::chrono::seconds(30);  ///< resolving the name included
    /// From the call until the body's last byte: waiting for a connection and redirects included.
    duration request_timeout = duration::max();
    /// The longest silence: of a server whose bytes are awaited, or that takes none of ours.
    duration read_timeout = std::chrono::seconds(60);

    std::size_t max_head_bytes = 64 * 1024;          ///< of one answer: status line and headers
    std::size_t max_header_count = 256;              ///< of one answer
    std::size_t max_body_bytes = 256 * 1024 * 1024;  ///< what text() takes; streams have no limit

    bool follow_redirects = true;
    std::size_t max_redirects = 10;  ///< of one request; one more is too_many_redirects

    std::string user_agent = "lariat";  ///< empty: none is sent
    headers default_headers;            ///< of every request that has none of that name

    client_options() {
    }  // user-declared: an aggregate in an awaiting expression is miscompiled by GCC 12
};

}  // namespace lariat::http
