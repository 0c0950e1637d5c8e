#pragma once

#include <lariat/base/unique_fd.hpp>
#include <lariat/process/manager_options.hpp>
#include <lariat/task/task.hpp>

#include <string>

namespace lariat::detail {

struct manager_listener {
    unique_fd socket;
    manager_address bound;  ///< with the port that the system chose
};
/// Errors: std::system_error.
[[nodiscard]] manager_listener listen_at(const manager_address& where);
/// Errors: std::system_error · Cancel: no connection.
[[nodiscard]] task<unique_fd> connect_to(manager_address where);
/// As endpoint::to_string, or the path.
[[nodiscard]] std::string describe(const manager_address& where);
/// Sends what is small without waiting for more.
void send_at_once(int socket) noexcept;

/// Each end proves to the other that it has the key, without sending it: HMAC-SHA256 over both
/// ends' random numbers and a word that says which end it is, so that neither can be made to answer
/// for the other. Compared in constant time.
///
/// Errors: authentication_error; std::system_error · Cancel: the socket is to be closed.
[[nodiscard]] task<> prove_as_manager(int socket, std::string key);
[[nodiscard]] task<> prove_as_user(int socket, std::string key);
/// Errors: std::invalid_argument for an empty key, or in a library without libcrypto.
void check_key(const std::string& key);

}  // namespace lariat::detail
