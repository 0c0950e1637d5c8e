#include <lariat/base/assert.hpp>
#include <lariat/net/http/response.hpp>

#include <algorithm>
#include <cstring>
#include <utility>

#include "http/exchange.hpp"

namespace lariat::http {

namespace {

/// A server may announce what it never sends: beyond this the text grows as it comes.
constexpr std::size_t reserved_unseen = 1024 * 1024;

task<std::string> read_text(detail::exchange& from) {
    const std::size_t most = from.max_body_bytes();
    const std::uint64_t announced = from.head().content_length.value_or(0);
    if (!from.complete() && announced > most) from.fail_beyond(most);
    std::string text;
    text.reserve(static_cast<std::size_t>(std::min<std::uint64_t>(announced, reserved_unseen)));
    for (;;) {
        if (!from.filled()) co_await from.fill();
        const std::string_view piece = from.piece();
        if (piece.empty()) co_return text;
        if (piece.size() > most - text.size()) from.fail_beyond(most);
        text += piece;
        from.take(piece.size());
        from.let_go();
    }
}

task<std::string_view> read_piece(detail::exchange& from) {
    if (!from.filled()) co_await from.fill();
    const std::string_view piece = from.piece();
    if (piece.empty())
        from.let_go();
    else
        from.take(piece.size());
    co_return piece;
}

task<std::size_t> read_into(detail::exchange& from, mutable_bytes room) {
    if (!from.filled()) co_await from.fill();
    const std::string_view piece = from.piece().substr(0, room.size());
    if (piece.empty()) co_return 0;
    std::memcpy(room.data(), piece.data(), piece.size());
    from.take(piece.size());
    from.let_go();
    co_return piece.size();
}

}  // namespace

response::response(std::unique_ptr<detail::exchange> answered) noexcept
    : exchange_(std::move(answered)) {}
response::response(response&& other) noexcept = default;
response& response::operator=(response&& other) noexcept = default;
response::~response() = default;

detail::exchange& response::answered() const noexcept {
    lariat::detail::require(exchange_ != nullptr, "this http::response was moved from");
    return *exchange_;
}

int response::status() const noexcept { return answered().head().status; }
const std::string& response::reason() const noexcept { return answered().head().reason; }
const http::headers& response::headers() const noexcept { return answered().head().fields; }
const http::url& response::url() const noexcept { return answered().asked().to; }
std::optional<std::uint64_t> response::content_length() const noexcept {
    return answered().head().content_length;
}

task<std::string> response::text() { return read_text(answered()); }

task<std::string_view> response::read_chunk() { return read_piece(answered()); }

task<std::size_t> response::read_some(mutable_bytes room) {
    lariat::detail::require(room.size() != 0, "read_some needs room for at least one byte");
    return read_into(answered(), room);
}

}  // namespace lariat::http
