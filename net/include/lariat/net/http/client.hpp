#pragma once

#include <lariat/base/config.hpp>
#include <lariat/net/http/client_options.hpp>
#include <lariat/net/http/error.hpp>
#include <lariat/net/http/headers.hpp>
#include <lariat/net/http/response.hpp>
#include <lariat/task/task.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace lariat::http {

namespace detail {
struct client_core;
}

/// Counters of one client; monotonic unless said otherwise.
struct client_stats {
    std::uint64_t opened = 0;   ///< connections
    std::uint64_t reused = 0;   ///< requests on a connection that had been kept
    std::uint64_t retried = 0;  ///< requests repeated because a kept connection had been closed
    std::size_t in_use = 0;     ///< now: connections with a request, or being made
    std::size_t idle = 0;       ///< now: connections kept for further requests
    std::size_t waiting = 0;    ///< now: requests in line for a connection
};

/// Makes HTTP/1.1 requests, and keeps connections for the next ones.
///
///     lariat::http::client session;
///     auto response = co_await session.get("http://example.com/");
///     std::string body = co_await response.text();
///
/// Order        requests for one host that have to wait for a connection get one in FIFO order
/// Threads      one loop
/// Lifetime     outlives the requests made with it (asserted); responses may outlive it
/// Allocation   a record a connection, and what the strings need
/// Limits       client_options: connections, bytes of an answer, redirects, and time
class LARIAT_EXPORT client {
 public:
    explicit client(client_options options = client_options());
    client(const client&) = delete;
    client& operator=(const client&) = delete;
    ~client();

    /// Asks, follows redirects, and gives the answer once its head is there, whatever its status.
    /// `lines` are sent beside Host, User-Agent, Accept and the default headers; name the variable
    /// that holds them: GCC 12 refuses braces beside co_await.
    ///
    /// A 303, and a 301 or 302 to a POST, goes on as GET without the body; other redirects repeat
    /// the request. Authorization, Cookie and the like do not go along to another host, port or
    /// scheme. A kept connection that its server had closed is replaced once, without a word, for a
    /// method that may be repeated (GET, HEAD, PUT, DELETE, OPTIONS, TRACE).
    ///
    /// Errors   std::invalid_argument for a bad URL, method or header (control characters: they
    ///          would forge lines); std::system_error when the name does not resolve, the server
    ///          refuses or resets, and for https, which is not there yet; incomplete_read when it
    ///          closes; malformed_response; limit_error; timeout_error; too_many_redirects. Each
    ///          names the method and the URL
    /// Cancel   closes the connection; whether the server acted on the request is not known
    [[nodiscard]] task<response> get(std::string url, headers lines = headers());
    [[nodiscard]] task<response> head(std::string url, headers lines = headers());
    [[nodiscard]] task<response> post(std::string url, std::string body, headers lines = headers());
    /// The same with any method but CONNECT. A body is sent as it is, with its length.
    [[nodiscard]] task<response> request(std::string method, std::string url,
                                         std::optional<std::string> body = std::nullopt,
                                         headers lines = headers());

    [[nodiscard]] client_stats stats() const noexcept;

 private:
    std::unique_ptr<detail::client_core> core_;
};

}  // namespace lariat::http
