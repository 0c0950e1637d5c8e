#include <lariat/net/resolve.hpp>

#include <lariat/loop/future.hpp>
#include <lariat/offload/blocking.hpp>

#include "look_up.hpp"
#include "quote.hpp"
#include "sockaddr.hpp"

#include <cerrno>
#include <exception>
#include <memory>
#include <string_view>
#include <utility>

#include <netdb.h>

namespace lariat {

namespace {

using endpoints = std::vector<endpoint>;

class category final : public std::error_category {
 public:
    [[nodiscard]] const char* name() const noexcept override { return "resolve"; }
    [[nodiscard]] std::string message(int code) const override { return ::gai_strerror(code); }
};

struct addresses_end {
    void operator()(addrinfo* first) const noexcept { ::freeaddrinfo(first); }
};

std::error_code resolver_code(int failed) noexcept {
    if (failed == EAI_SYSTEM) return {errno, std::system_category()};
    return {failed, resolve_category()};
}

/// Asks getaddrinfo, which may block for long unless `flags` say that the host is in figures.
result<endpoints> ask(const std::string& host, int port, int flags) {
    // It would read an empty host as this machine, and take one with a NUL to end there.
    if (host.empty() || host.find('\0') != std::string::npos) return resolver_code(EAI_NONAME);
    addrinfo wanted{};
    wanted.ai_family = AF_UNSPEC;
    wanted.ai_socktype = SOCK_STREAM;  // else every address comes once for each kind of socket
    wanted.ai_flags = flags;
    addrinfo* got = nullptr;
    const int failed = ::getaddrinfo(host.c_str(), nullptr, &wanted, &got);
    if (failed != 0) return resolver_code(failed);
    const std::unique_ptr<addrinfo, addresses_end> owner(got);
    endpoints found;
    for (const addrinfo* at = got; at != nullptr; at = at->ai_next) {
        if (at->ai_family != AF_INET && at->ai_family != AF_INET6) continue;
        found.emplace_back(detail::from_sockaddr(at->ai_addr, at->ai_addrlen).address(), port);
    }
    if (found.empty()) return resolver_code(EAI_NONAME);
    return found;
}

std::string_view without_brackets(std::string_view host) noexcept {
    const bool has_them = host.size() > 2 && host.front() == '[' && host.back() == ']';
    return has_them ? host.substr(1, host.size() - 2) : host;
}

/// A question on its way. It owns all it needs, as whoever asked may be gone before the answer.
struct lookup final : detail::blocking_job {
    lookup(std::string name, int number)
        : blocking_job(&perform), host(std::move(name)), port(number) {}

    static void perform(blocking_job& job) noexcept {
        auto& self = static_cast<lookup&>(job);
        const std::shared_ptr<lookup> until_answered = std::move(self.mine);
        try {
            self.answer.set_value(ask(self.host, self.port, AI_ADDRCONFIG));
        } catch (...) {
            self.answer.set_exception(std::current_exception());
        }
    }

    std::string host;
    int port;
    promise<result<endpoints>> answer;
    std::shared_ptr<lookup> mine;  ///< the pool's share
};

/// Asks, and takes the question back if it is still in the line when whoever asked goes.
class asking {
 public:
    explicit asking(std::shared_ptr<lookup> question) : question_(std::move(question)) {
        question_->mine = question_;
        try {
            detail::blocking_pool::shared().submit(*question_);
        } catch (...) {
            question_->mine.reset();
            throw;
        }
    }
    asking(const asking&) = delete;
    ~asking() {
        if (detail::blocking_pool::shared().withdraw(*question_)) question_->mine.reset();
    }

 private:
    std::shared_ptr<lookup> question_;
};

void throw_resolve_error(std::error_code code, const std::string& what, const void*) {
    throw resolve_error(code, what);
}

}  // namespace

const std::error_category& resolve_category() noexcept {
    static const category only;
    return only;
}

resolve_error::resolve_error(std::error_code code, const std::string& what)
    : std::system_error(code, what) {}
resolve_error::~resolve_error() = default;

namespace detail {

task<result<std::vector<endpoint>>> look_up(std::string host, int port) {
    const std::string name(without_brackets(host));
    result<endpoints> at_once = ask(name, port, AI_NUMERICHOST);
    if (at_once || at_once.error() != resolver_code(EAI_NONAME)) co_return at_once;
    const auto question = std::make_shared<lookup>(name, port);
    future<result<endpoints>> answer = question->answer.get_future();
    const asking on_its_way(question);
    result<endpoints> found = co_await answer;
    co_return found;
}

void throw_connect_error(std::error_code code, const std::string& what) {
    if (code.category() == resolve_category()) throw resolve_error(code, what);
    throw_error(code, what);
}

std::string host_and_port(const std::string& host, int port) {
    std::string name = quote(host);
    if (name.size() == host.size() + 2) name = host;  // nothing in it needed care
    const bool bare_v6 = name.find(':') != std::string::npos && !name.starts_with('[');
    return (bare_v6 ? "[" + name + "]" : name) + ":" + std::to_string(port);
}

}  // namespace detail

verb<std::vector<endpoint>> resolve(std::string host, int port) {
    const endpoint checked(ip_address(), port);  // refuses a port that is none
    std::string what = "resolving " + detail::host_and_port(host, port);
    return {detail::look_up(std::move(host), checked.port()), std::move(what),
            &throw_resolve_error};
}

}  // namespace lariat
