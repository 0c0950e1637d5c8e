#pragma once

#include <lariat/base/config.hpp>
#include <lariat/net/buffer.hpp>
#include <lariat/net/http/headers.hpp>
#include <lariat/net/http/url.hpp>
#include <lariat/task/task.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace lariat::http {

namespace detail {
class exchange;
}

/// An answer: its head, and the way to its body, which is read from the connection as it is asked
/// for.
///
/// Threads      the loop's own; one task at a time reads
/// Lifetime     move-only; may outlive its client. With the body's last byte the connection goes
///              back to the client. A response that goes earlier closes it, unless the rest is in
///              hand already. What is in hand can be read, or dropped, after its loop has closed
///              too. Once moved from it may only be assigned to, or end
/// Limits       the client's options; a body that is read in pieces has none
class LARIAT_EXPORT response {
 public:
    explicit response(std::unique_ptr<detail::exchange> answered) noexcept;
    response(response&& other) noexcept;
    response& operator=(response&& other) noexcept;
    ~response();

    [[nodiscard]] int status() const noexcept;
    /// What stands beside the status: "Not Found"; may be empty.
    [[nodiscard]] const std::string& reason() const noexcept;
    /// The trailers of a chunked body are not among them.
    [[nodiscard]] const http::headers& headers() const noexcept;
    /// Who answered: the URL asked for, or where redirects led.
    [[nodiscard]] const http::url& url() const noexcept;
    /// As announced; the answer to HEAD announces what GET would give.
    [[nodiscard]] std::optional<std::uint64_t> content_length() const noexcept;

    /// The whole body, or what was not read of it yet.
    ///
    /// Errors   limit_error beyond max_body_bytes; incomplete_read for a body that breaks off;
    ///          malformed_response; timeout_error; std::system_error, as for a reset. Each names
    ///          the request. An error closes the connection, and is thrown again by further reads
    /// Cancel   what it had taken is lost
    [[nodiscard]] task<std::string> text();
    /// The next piece of the body, as it came; empty at the end.
    ///
    /// Errors   as text(), without a limit; bytes that came before an error are given first
    /// Cancel   no byte is taken
    /// Borrows  nothing: the piece stays in place until the next read of this response, or the end
    ///          of it or of the loop
    [[nodiscard]] task<std::string_view> read_chunk();
    /// The same, copied. Returns how many bytes were put into `room`, 0 at the end. Pre: room for
    /// at least one byte.
    [[nodiscard]] task<std::size_t> read_some(mutable_bytes room);

 private:
    [[nodiscard]] detail::exchange& answered() const noexcept;

    std::unique_ptr<detail::exchange> exchange_;
};

}  // namespace lariat::http
