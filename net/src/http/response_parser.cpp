#include "http/response_parser.hpp"

#include <lariat/base/assert.hpp>
#include <lariat/base/error.hpp>
#include <lariat/net/http/error.hpp>

#include <algorithm>
#include <utility>

#include "http/grammar.hpp"
#include "quote.hpp"

namespace lariat::http::detail {

namespace {

using lariat::detail::quote;

/// "head_bytes" and the like, so that whoever raises the limit finds it.
[[noreturn]] void over(const char* limit, std::size_t value) {
    throw limit_error(std::string("an HTTP answer: ") + limit + " (" + std::to_string(value) + ")");
}

}  // namespace

// llhttp is C: nothing may be thrown through it. What a callback throws waits in failure_.
template <auto Member>
int response_parser::data(llhttp_t* parser, const char* at, std::size_t length) noexcept {
    auto& self = *static_cast<response_parser*>(parser->data);
    try {
        return (self.*Member)(std::string_view(at, length));
    } catch (...) {
        self.failure_ = std::current_exception();
        return HPE_USER;
    }
}

template <auto Member>
int response_parser::mark(llhttp_t* parser) noexcept {
    auto& self = *static_cast<response_parser*>(parser->data);
    try {
        return (self.*Member)();
    } catch (...) {
        self.failure_ = std::current_exception();
        return -1;
    }
}

const llhttp_settings_t& response_parser::callbacks() noexcept {
    static const llhttp_settings_t settings = [] {
        llhttp_settings_t out{};
        out.on_status = &data<&response_parser::on_status>;
        out.on_header_field = &data<&response_parser::on_name>;
        out.on_header_value = &data<&response_parser::on_value>;
        out.on_header_value_complete = &mark<&response_parser::on_value_complete>;
        out.on_headers_complete = &mark<&response_parser::on_headers_complete>;
        out.on_body = &data<&response_parser::on_body>;
        out.on_message_complete = &mark<&response_parser::on_message_complete>;
        return out;
    }();
    return settings;
}

response_parser::response_parser(response_limits limits) noexcept : limits_(limits) {}

void response_parser::start(bool to_head_request) {
    to_head_request_ = to_head_request;
    begun_ = false;
    spent_ = 0;
    interim_seen_ = 0;
    body_bytes_ = 0;
    restart();
}

/// Also after an interim answer: llhttp itself would take nothing after one that says "close".
void response_parser::restart() {
    llhttp_init(&parser_, HTTP_RESPONSE, &callbacks());
    parser_.data = this;
    head_ = response_head();
    name_.clear();
    value_.clear();
    keep_alive_ = false;
    phase_ = phase::head;
}

response_parser::step response_parser::feed(std::string_view input) {
    lariat::detail::require(phase_ == phase::head || phase_ == phase::body,
                            "feed() needs start() after an answer was complete or refused");
    begun_ = begun_ || !input.empty();
    std::size_t used = 0;
    for (;;) {
        const step got = execute(input.substr(used));
        used += got.used;
        const bool skip = got.what == event::complete && interim();
        if (!skip) return {got.what, used, got.body};
        restart();
    }
}

/// One run of llhttp, up to the next event. It is run without input too: the end of a message that
/// needs no further byte is reported only then.
response_parser::step response_parser::execute(std::string_view input) {
    if (input.empty()) input = "";  // llhttp wants a place, also for no bytes
    // Beyond the limit by one byte is enough to know it.
    if (phase_ == phase::head) input = input.substr(0, limits_.head_bytes - spent_ + 1);
    reached_ = event::need_more;
    piece_ = {};
    const llhttp_errno_t error = llhttp_execute(&parser_, input.data(), input.size());
    if (error != HPE_OK && error != HPE_PAUSED) fail(input);
    std::size_t used = input.size();
    if (error == HPE_PAUSED) {
        used = static_cast<std::size_t>(llhttp_get_error_pos(&parser_) - input.data());
        llhttp_resume(&parser_);
    }
    count(used - piece_.size());
    if (reached_ == event::body) spent_ = 0;
    return {reached_, used, piece_};
}

void response_parser::count(std::size_t bytes) {
    spent_ += bytes;
    if (spent_ <= limits_.head_bytes) return;
    phase_ = phase::failed;
    over("head_bytes", limits_.head_bytes);
}

void response_parser::fail(std::string_view input) {
    phase_ = phase::failed;
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
    const char* const at = llhttp_get_error_pos(&parser_);
    std::string why = llhttp_get_error_reason(&parser_);
    if (at >= input.data() && at <= input.data() + input.size()) {
        const auto offset = static_cast<std::size_t>(at - input.data());
        why += " at " + quote(input.substr(offset, 40));
    }
    throw malformed_response(why);
}

void response_parser::finish() {
    const bool ended = phase_ == phase::body && llhttp_message_needs_eof(&parser_) != 0;
    const bool in_body = phase_ == phase::body;
    if (phase_ == phase::complete) return;
    phase_ = ended ? phase::complete : phase::failed;
    keep_alive_ = false;
    if (ended) return;
    if (!begun_) throw incomplete_read("the connection was closed before an HTTP answer", 0);
    if (!in_body) throw incomplete_read("an HTTP answer ended inside its head", 0);
    std::string what = "an HTTP answer ended inside its ";
    if (head_.content_length)
        what += "body of " + std::to_string(*head_.content_length) + " bytes";
    else
        what += "chunked body";
    throw incomplete_read(what, static_cast<std::size_t>(body_bytes_));
}

int response_parser::on_status(std::string_view text) {
    head_.reason += text;
    return 0;
}

int response_parser::on_name(std::string_view text) {
    name_ += text;
    return 0;
}

int response_parser::on_value(std::string_view text) {
    value_ += text;
    return 0;
}

int response_parser::on_value_complete() {
    // llhttp in its loose mode lets a space stand before the colon; readers differ on such names.
    if (!is_token(name_)) throw malformed_response("the header name " + quote(name_));
    if (head_.fields.size() == limits_.header_count) over("header_count", limits_.header_count);
    head_.fields.add(std::exchange(name_, {}), std::string(trimmed(value_)));
    value_.clear();
    return 0;
}

int response_parser::on_headers_complete() {
    if (parser_.http_major != 1)
        throw malformed_response("it speaks HTTP/" + std::to_string(parser_.http_major) +
                                 ", not HTTP/1");
    head_.status = parser_.status_code;
    head_.minor_version = parser_.http_minor;
    if (head_.status < 100)
        throw malformed_response("its status is " + std::to_string(head_.status));
    if (head_.status == 101) throw malformed_response("it switches protocols (101) unasked");
    check_framing();
    const bool has_length = (parser_.flags & F_CONTENT_LENGTH) != 0;
    if (has_length) head_.content_length = parser_.content_length;
    const bool bodiless = interim() || head_.status == 204 || head_.status == 304;
    // llhttp knows of these only when no length is announced (RFC 9112 section 6.3, rule 1).
    if (bodiless || to_head_request_) parser_.flags |= F_SKIPBODY;
    if (interim()) {
        if (++interim_seen_ > limits_.interim_answers)
            over("interim_answers", limits_.interim_answers);
        return 0;
    }
    phase_ = phase::body;
    reached_ = event::head;
    return HPE_PAUSED;
}

/// llhttp has refused two lengths, and a length beside a coding; it takes any list of codings.
void response_parser::check_framing() const {
    const auto codings = head_.fields.all("Transfer-Encoding");
    if (codings.empty()) return;
    if (codings.size() > 1) throw malformed_response("Transfer-Encoding stands twice");
    if (head_.minor_version == 0)
        throw malformed_response("HTTP/1.0 knows no Transfer-Encoding: " + quote(codings[0]));
    if (!same_name(codings[0], "chunked"))
        throw malformed_response("Transfer-Encoding " + quote(codings[0]) +
                                 " was not asked for; only \"chunked\" is understood");
}

int response_parser::on_body(std::string_view text) {
    if (text.empty()) return 0;
    piece_ = text;
    body_bytes_ += text.size();
    reached_ = event::body;
    return HPE_PAUSED;
}

int response_parser::on_message_complete() {
    keep_alive_ = llhttp_should_keep_alive(&parser_) != 0;
    phase_ = phase::complete;
    reached_ = event::complete;
    return HPE_PAUSED;
}

}  // namespace lariat::http::detail
