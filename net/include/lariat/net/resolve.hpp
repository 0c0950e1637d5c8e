#pragma once

#include <lariat/base/config.hpp>
#include <lariat/net/address.hpp>
#include <lariat/net/verb.hpp>

#include <string>
#include <system_error>
#include <vector>

namespace lariat {

/// Codes of getaddrinfo(3), EAI_NONAME and its like, in its words.
[[nodiscard]] LARIAT_EXPORT const std::error_category& resolve_category() noexcept;

/// A name has no address, or none could be found out; what() names it. The code is the resolver's
/// (see resolve_category), or the system's where that is what failed.
class LARIAT_EXPORT resolve_error : public std::system_error {
 public:
    resolve_error(std::error_code code, const std::string& what);
    ~resolve_error() override;
};

/// Finds the addresses of a host, v4 and v6, by getaddrinfo(3): /etc/hosts, DNS, whatever the
/// system is set to ask. An address in figures, in brackets or not, is answered at once.
///
///     for (const auto& where : co_await lariat::resolve("example.org", 80)) ...
///
/// Suspends until the resolver answers, on another thread; only families that this machine has an
/// address of are asked for (AI_ADDRCONFIG) · Returns at least one endpoint, in the resolver's
/// order of preference (RFC 6724) · Errors: resolve_error; at once std::invalid_argument for a port
/// that is not 0 to 65535 · Cancel: at once; a question already on its way is answered for nobody
/// (getaddrinfo cannot be stopped, and holds its thread until the resolver's own timeout).
[[nodiscard]] LARIAT_EXPORT verb<std::vector<endpoint>> resolve(std::string host, int port);

}  // namespace lariat
