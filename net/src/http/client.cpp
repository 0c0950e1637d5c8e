#include <lariat/base/assert.hpp>
#include <lariat/base/error.hpp>
#include <lariat/net/http/client.hpp>
#include <lariat/task/nothrow.hpp>
#include <lariat/task/timeout.hpp>

#include <string_view>
#include <system_error>
#include <utility>

#include "http/connection_pool.hpp"
#include "http/exchange.hpp"
#include "http/outgoing.hpp"

namespace lariat::http {

namespace detail {

struct client_core {
    explicit client_core(client_options chosen)
        : options(std::move(chosen)), pool(std::make_shared<connection_pool>(options)) {}

    client_options options;
    std::shared_ptr<connection_pool> pool;
    std::uint64_t retried = 0;
    std::size_t requests = 0;  ///< under way, up to the head of their last answer
};

namespace {

class counted_request {
 public:
    explicit counted_request(client_core& core) noexcept : core_(&core) { ++core.requests; }
    counted_request(const counted_request&) = delete;
    counted_request& operator=(const counted_request&) = delete;
    ~counted_request() { --core_->requests; }

 private:
    client_core* core_;
};

exchange::terms terms_of(const outgoing& request, time_point deadline) {
    return exchange::terms(request.label(), request.to(), deadline, request.is_head_request(),
                           !request.closes());
}

[[noreturn]] void throw_unanswered(std::error_code why, const std::string& label) {
    if (why == errc::incomplete)
        throw incomplete_read(label + ": the connection was closed before an HTTP answer", 0);
    throw_error(why, label + ": the connection failed before an HTTP answer");
}

task<std::unique_ptr<exchange>> begin_exchange(client_core& core, const outgoing& request,
                                               time_point deadline) {
    exchange::terms asked = terms_of(request, deadline);
    std::string host = request.to().authority();
    auto granted = co_await nothrow(timeout_at(deadline, core.pool->acquire(std::move(host))));
    if (!granted)
        throw timeout_error(asked.label + ": waiting for one of the host's " +
                            std::to_string(core.options.max_connections_per_host) + " connections");
    co_return std::make_unique<exchange>(std::move(*granted), std::move(asked), core.options);
}

/// One request and the head of its answer. A kept connection may have been closed by its server at
/// the moment of the request: then it is repeated, once, on a new one.
task<std::unique_ptr<exchange>> round_trip(client_core& core, const outgoing& request,
                                           time_point deadline) {
    const std::string head = request.head();
    std::unique_ptr<exchange> asked = co_await begin_exchange(core, request, deadline);
    for (;;) {
        const bool kept = asked->connected();
        if (!kept) co_await asked->connect();
        const std::error_code unanswered = co_await asked->ask(head, request.body());
        if (!unanswered) co_return std::move(asked);
        if (!kept || !request.repeatable()) throw_unanswered(unanswered, request.label());
        asked->disconnect();
        ++core.retried;
    }
}

task<response> perform(client_core& core, std::string method, std::string where,
                       std::optional<std::string> body, headers lines) {
    const counted_request under_way(core);
    outgoing request(core.options, std::move(method), where, std::move(body), std::move(lines));
    const time_point start = lariat::detail::required_scheduler("an HTTP client").now();
    const time_point deadline = saturating_add(start, core.options.request_timeout);
    for (;;) {
        std::unique_ptr<exchange> answer = co_await round_trip(core, request, deadline);
        if (!request.follow(answer->head(), core.options)) co_return response(std::move(answer));
    }
}

}  // namespace

}  // namespace detail

client::client(client_options options)
    : core_(std::make_unique<detail::client_core>(std::move(options))) {}

client::~client() {
    lariat::detail::require(core_->requests == 0,
                            "an http::client must outlive the requests made with it");
    core_->pool->close();
}

task<response> client::get(std::string url, headers lines) {
    return request("GET", std::move(url), std::nullopt, std::move(lines));
}

task<response> client::head(std::string url, headers lines) {
    return request("HEAD", std::move(url), std::nullopt, std::move(lines));
}

task<response> client::post(std::string url, std::string body, headers lines) {
    return request("POST", std::move(url), std::move(body), std::move(lines));
}

task<response> client::request(std::string method, std::string url, std::optional<std::string> body,
                               headers lines) {
    return detail::perform(*core_, std::move(method), std::move(url), std::move(body),
                           std::move(lines));
}

client_stats client::stats() const noexcept {
    const detail::connection_pool::counters& counts = core_->pool->stats();
    client_stats now;
    now.opened = counts.opened;
    now.reused = counts.reused;
    now.retried = core_->retried;
    now.in_use = counts.open - counts.idle;
    now.idle = counts.idle;
    now.waiting = counts.waiting;
    return now;
}

}  // namespace lariat::http
