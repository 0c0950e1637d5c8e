#include "http/exchange.hpp"

#include <lariat/base/error.hpp>
#include <lariat/task/nothrow.hpp>
#include <lariat/task/timeout.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>

#include "http/error.hpp"
#include "look_up.hpp"

namespace lariat::http::detail {

namespace {

time_point now() noexcept { return lariat::detail::required_scheduler("an HTTP client").now(); }

std::string in_seconds(duration length) {
    char text[32];
    const double seconds = std::chrono::duration<double>(length).count();
    std::snprintf(text, sizeof text, "%g s", seconds);
    return text;
}

/// The peer is gone: an answer may still have come before.
bool is_hangup(std::error_code code) noexcept {
    return code == std::errc::broken_pipe || code == std::errc::connection_reset;
}

}  // namespace

exchange::exchange(lease at, terms asked, const client_options& options)
    : terms_(std::move(asked)),
      connect_timeout_(options.connect_timeout),
      request_timeout_(options.request_timeout),
      read_timeout_(options.read_timeout),
      max_body_bytes_(options.max_body_bytes),
      at_(std::move(at)) {}

exchange::~exchange() {
    while (at_.connected() && !piece().empty()) {
        piece_ = {};
        parse_on();
    }
}

std::string_view exchange::in_chunk(stretch part) const noexcept {
    return chunk_.empty() ? std::string_view() : chunk_.text().substr(part.from, part.size);
}

/// Reads on in the rest, up to one event.
response_parser::step exchange::feed_rest() {
    const response_parser::step got = at_->parser.feed(rest());
    rest_.from += got.used;
    rest_.size -= got.used;
    return got;
}

/// The deadline of a step that may take so long. A step that is ready at once would not notice that
/// the request's time is over: so it is looked at here.
time_point exchange::latest(duration step) {
    const time_point start = now();
    if (start >= terms_.deadline) time_out("");
    return std::min(terms_.deadline, saturating_add(start, step));
}

/// Ends it with the exception that is being handled.
void exchange::fail() {
    failure_ = std::current_exception();
    at_ = lease();
    std::rethrow_exception(failure_);
}

void exchange::time_out(const std::string& doing) {
    try {
        if (now() >= terms_.deadline)
            throw timeout_error(terms_.label + ": not done in the request's " +
                                in_seconds(request_timeout_));
        throw timeout_error(terms_.label + ": " + doing);
    } catch (...) {
        fail();
    }
}

task<> exchange::connect() {
    const time_point deadline = latest(connect_timeout_);
    const std::string& host = terms_.to.host();
    const std::uint16_t port = terms_.to.port();
    auto made = co_await nothrow(timeout_at(deadline, tcp_stream::connect(host, port)));
    if (made) {
        at_.adopt(std::move(*made));
        co_return;
    }
    const std::string doing = "connecting to " + lariat::detail::host_and_port(host, port);
    if (made.error() == errc::timed_out)
        time_out(doing + " took longer than " + in_seconds(connect_timeout_));
    lariat::detail::throw_connect_error(made.error(), terms_.label + ": " + doing);
}

task<std::error_code> exchange::ask(std::string_view request_head, std::string_view request_body) {
    at_->parser.start(terms_.head_request);
    std::error_code sent = co_await send(request_head);
    if (!sent) sent = co_await send(request_body);
    // A server may answer, as with 413, and close without having read all.
    if (sent && !is_hangup(sent)) co_return sent;
    cut_off_ = static_cast<bool>(sent);
    const std::error_code read = co_await read_head();
    if (read && sent) co_return sent;
    co_return read;
}

/// Piece by piece, so that a server that takes some, however slowly, is not taken for a silent one.
task<std::error_code> exchange::send(std::string_view data) {
    bytes left(data);
    while (!left.empty()) {
        const auto sent =
            co_await nothrow(timeout_at(latest(read_timeout_), at_->stream.write_some(left)));
        if (sent) {
            left = left.after(*sent);
        } else if (sent.error() == errc::timed_out) {
            time_out("the server took nothing of the request for " + in_seconds(read_timeout_));
        } else {
            co_return sent.error();
        }
    }
    co_return std::error_code();
}

/// The next bytes of the connection, none at its end.
task<std::error_code> exchange::receive() {
    chunk_ = lent_bytes();
    piece_ = {};
    rest_ = {};
    auto got = co_await nothrow(timeout_at(latest(read_timeout_), at_->stream.receive()));
    if (!got && got.error() == errc::timed_out)
        time_out("nothing came for " + in_seconds(read_timeout_));
    if (!got) co_return got.error();
    chunk_ = std::move(*got);
    rest_ = {0, chunk_.size()};
    co_return std::error_code();
}

task<std::error_code> exchange::read_head() {
    response_parser& parser = at_->parser;
    for (;;) {
        const std::error_code failed = co_await receive();
        const bool nothing = failed || rest().empty();
        if (nothing && !parser.begun())
            co_return failed ? failed : make_error_code(errc::incomplete);
        try {
            if (failed) throw std::system_error(failed, "receiving the answer's head");
            if (nothing) parser.finish();
            const response_parser::step got = feed_rest();
            if (got.what != response_parser::event::head) continue;
        } catch (...) {
            rethrow_naming(terms_.label);
        }
        head_ = std::move(parser.head());  // its numbers stay there, for the parser's own use
        parse_on();
        if (complete_) let_go();
        co_return std::error_code();
    }
}

task<> exchange::fill() {
    while (!filled()) {
        if (failure_) std::rethrow_exception(failure_);
        const std::error_code failed = co_await receive();
        try {
            if (failed) throw std::system_error(failed, terms_.label + ": receiving the body");
            if (rest().empty()) end_of_stream();
        } catch (...) {
            fail();
        }
        if (!complete_) parse_on();
    }
}

void exchange::end_of_stream() {
    try {
        at_->parser.finish();
    } catch (const std::exception&) {
        rethrow_naming(terms_.label);
    }
    complete_ = true;
    at_ = lease();
}

void exchange::take(std::size_t count) noexcept {
    piece_.from += count;
    piece_.size -= count;
    if (piece().empty() && !complete_) parse_on();
}

void exchange::let_go() noexcept {
    if (piece().empty()) chunk_ = lent_bytes();
}

/// Reads on in what is there, so that an answer is known to be complete as soon as its last byte is
/// taken. What is wrong after bytes that are right is told after them.
void exchange::parse_on() noexcept {
    try {
        while (piece().empty() && !complete_) {
            const response_parser::step got = feed_rest();
            if (!got.body.empty())
                piece_ = {static_cast<std::size_t>(got.body.data() - chunk_.text().data()),
                          got.body.size()};
            if (got.what == response_parser::event::need_more) return;
            complete_ = got.what == response_parser::event::complete;
        }
        if (!complete_) return;
        const bool clean =
            at_->parser.keep_alive() && terms_.reusable && !cut_off_ && rest().empty();
        if (clean) at_.keep();
        at_ = lease();
    } catch (...) {
        try {
            rethrow_naming(terms_.label);
        } catch (...) {
            failure_ = std::current_exception();
        }
        at_ = lease();
    }
}

void exchange::fail_beyond(std::size_t body_bytes) {
    try {
        throw limit_error(terms_.label + ": the body is larger than max_body_bytes (" +
                          std::to_string(body_bytes) + ")");
    } catch (...) {
        fail();
    }
}

}  // namespace lariat::http::detail
