#pragma once

#include <lariat/base/clock.hpp>
#include <lariat/net/http/client_options.hpp>
#include <lariat/net/http/url.hpp>
#include <lariat/net/lent_bytes.hpp>
#include <lariat/task/task.hpp>

#include <cstddef>
#include <exception>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "http/connection_pool.hpp"
#include "http/response_parser.hpp"

namespace lariat::http::detail {

/// One request on one connection, and its answer as it is read.
///
/// States       asking (ask) -> body (the head is complete) -> complete | failed
/// Invariant 1  it holds its lease until the answer is complete or has failed; only a complete one,
///              with nothing after it, gives the connection back for reuse
/// Invariant 2  piece and rest lie in chunk, in this order; chunk is empty if its loop closed and
///              found no memory to keep it: then so are they
class exchange {
 public:
    struct terms {
        terms(std::string label_, url to_, time_point deadline_, bool head_request_, bool reusable_)
            : label(std::move(label_)),
              to(std::move(to_)),
              deadline(deadline_),
              head_request(head_request_),
              reusable(reusable_) {}

        std::string label;  ///< "GET http://example.com/", for errors
        url to;
        time_point deadline;
        bool head_request;
        bool reusable;  ///< the request did not ask for the connection's end
    };

    exchange(lease at, terms asked, const client_options& options);
    exchange(const exchange&) = delete;
    exchange& operator=(const exchange&) = delete;
    /// Skips what is in hand; if the answer ends there its connection is kept.
    ~exchange();

    [[nodiscard]] bool connected() const noexcept { return at_.connected(); }
    /// Makes a connection.
    [[nodiscard]] task<> connect();
    void disconnect() noexcept { at_.disconnect(); }
    /// Sends the request and reads up to the answer's head.
    ///
    /// Returns  why no byte of an answer came, if the connection failed so; else no error
    /// Errors   all others
    [[nodiscard]] task<std::error_code> ask(std::string_view request_head,
                                            std::string_view request_body);

    /// Reads until piece() holds bytes or the body is complete.
    [[nodiscard]] task<> fill();
    /// Whether fill() would do nothing.
    [[nodiscard]] bool filled() const noexcept { return complete_ || !piece().empty(); }
    [[nodiscard]] std::string_view piece() const noexcept { return in_chunk(piece_); }
    /// Marks as read; what lay there stays in place until the next fill() or let_go().
    void take(std::size_t count) noexcept;
    /// Gives the received bytes back, if none is left to read: others receive into that buffer.
    void let_go() noexcept;
    [[nodiscard]] bool complete() const noexcept { return complete_; }
    /// Errors   throws it, now and at every further fill()
    [[noreturn]] void fail_beyond(std::size_t body_bytes);

    [[nodiscard]] const response_head& head() const noexcept { return head_; }
    [[nodiscard]] const terms& asked() const noexcept { return terms_; }
    [[nodiscard]] std::size_t max_body_bytes() const noexcept { return max_body_bytes_; }

 private:
    /// Where in chunk, and not where in memory: a loop that closes moves the chunk.
    struct stretch {
        std::size_t from = 0;
        std::size_t size = 0;
    };

    [[nodiscard]] std::string_view in_chunk(stretch part) const noexcept;
    [[nodiscard]] std::string_view rest() const noexcept { return in_chunk(rest_); }
    [[nodiscard]] response_parser::step feed_rest();
    [[nodiscard]] time_point latest(duration step);
    [[noreturn]] void fail();
    [[noreturn]] void time_out(const std::string& doing);
    task<std::error_code> send(std::string_view data);
    task<std::error_code> receive();
    task<std::error_code> read_head();
    void end_of_stream();
    void parse_on() noexcept;

    terms terms_;
    duration connect_timeout_;
    duration request_timeout_;
    duration read_timeout_;
    std::size_t max_body_bytes_;
    lease at_;
    response_head head_;
    lent_bytes chunk_;
    stretch piece_;
    stretch rest_;
    std::exception_ptr failure_;
    bool complete_ = false;
    bool cut_off_ = false;  ///< of this attempt: the server was gone before it had the request
};

}  // namespace lariat::http::detail
