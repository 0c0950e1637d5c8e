#pragma once

#include <lariat/net/http/headers.hpp>

#include <llhttp.h>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <string_view>

namespace lariat::http::detail {

/// What one answer may cost before its body; beyond it is a limit_error.
struct response_limits {
    response_limits() noexcept {}

    std::size_t head_bytes = 64 * 1024;  ///< status line and headers, interim answers included;
                                         ///< also chunk sizes and trailers between two body bytes
    std::size_t header_count = 256;      ///< headers and trailers of one answer
    std::size_t interim_answers = 16;    ///< 1xx, skipped
};

struct response_head {
    int status = 0;
    int minor_version = 1;  ///< of HTTP/1
    std::string reason;
    headers fields;
    std::optional<std::uint64_t> content_length;  ///< as announced, also when no body follows it
};

/// Reads HTTP/1.x answers out of bytes, wherever they come from (llhttp does the reading).
///
/// It refuses what two readers could take for different answers: a length beside a transfer coding,
/// two lengths, a coding other than one "chunked", names with spaces, another major version.
///
/// Threads      one at a time
/// Allocation   the strings of the head
class response_parser {
 public:
    enum class event : std::uint8_t {
        need_more,  ///< all input was used; come again with more, or finish()
        head,       ///< head() is complete
        body,       ///< `body` is a piece of the body, a view into the input
        complete,   ///< the answer is complete; the input beyond `used` is not part of it
    };
    struct step {
        event what = event::need_more;
        std::size_t used = 0;  ///< bytes of the input
        std::string_view body = {};
    };

    explicit response_parser(response_limits limits = {}) noexcept;
    response_parser(const response_parser&) = delete;
    response_parser& operator=(const response_parser&) = delete;

    /// Prepares for the answer to the next request; one to HEAD has no body whatever it announces.
    void start(bool to_head_request = false);

    /// Reads on until one event; call it again with what was not used until it needs more.
    ///
    /// Pre      the answer is not complete, and nothing was thrown before
    /// Errors   malformed_response, limit_error
    step feed(std::string_view input);

    /// The stream has ended.
    ///
    /// Returns  normally when the end is what completes the answer
    /// Errors   incomplete_read that says where the answer breaks off
    void finish();

    /// Whether any byte of an answer has come since start(); an idle connection that was closed by
    /// its other end has seen none, and the request may be sent again.
    [[nodiscard]] bool begun() const noexcept { return begun_; }
    /// Pre      event::head was returned. The trailers of a chunked body are appended in time.
    [[nodiscard]] response_head& head() noexcept { return head_; }
    /// Pre      the answer is complete
    /// Returns  whether the connection may carry another request
    [[nodiscard]] bool keep_alive() const noexcept { return keep_alive_; }

 private:
    enum class phase : std::uint8_t { head, body, complete, failed };

    static const llhttp_settings_t& callbacks() noexcept;
    template <auto Member>
    static int data(llhttp_t* parser, const char* at, std::size_t length) noexcept;
    template <auto Member>
    static int mark(llhttp_t* parser) noexcept;

    int on_status(std::string_view text);
    int on_name(std::string_view text);
    int on_value(std::string_view text);
    int on_value_complete();
    int on_headers_complete();
    int on_body(std::string_view text);
    int on_message_complete();

    void restart();
    step execute(std::string_view input);
    void count(std::size_t bytes);
    void check_framing() const;
    [[noreturn]] void fail(std::string_view input);
    [[nodiscard]] bool interim() const noexcept { return head_.status / 100 == 1; }

    response_limits limits_;
    llhttp_t parser_{};
    response_head head_;
    std::string name_;
    std::string value_;
    std::string_view piece_;
    std::exception_ptr failure_;
    std::size_t spent_ = 0;  ///< of limits_.head_bytes
    std::size_t interim_seen_ = 0;
    std::uint64_t body_bytes_ = 0;
    phase phase_ = phase::complete;
    event reached_ = event::need_more;
    bool to_head_request_ = false;
    bool begun_ = false;
    bool keep_alive_ = false;
};

}  // namespace lariat::http::detail
