#include "process/manager_signature.hpp"
#include "process/manager_socket.hpp"

#include "offload/uninterrupted.hpp"

#include <lariat/base/error.hpp>
#include <lariat/loop/io.hpp>
#include <lariat/process/manager_error.hpp>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <span>
#include <stdexcept>
#include <string_view>
#include <utility>

#include <sys/random.h>
#include <sys/socket.h>

namespace lariat::detail {

namespace {

// It changes when what follows it on the wire does. Numbers go as this machine has them, so the
// other one must be of the same kind.
constexpr std::string_view greeting = "lariat manager1\n";
constexpr std::byte accepted{1};

digest random_number() {
    digest made{};
    const auto got = uninterrupted([&] { return ::getrandom(made.data(), made.size(), 0); });
    if (got != static_cast<ssize_t>(made.size()))
        throw_error(system_code(-errno), "a random number for a manager's key");
    return made;
}

task<> read_all(int socket, std::span<std::byte> into) {
    while (!into.empty()) {
        const auto got =
            uninterrupted([&] { return ::recv(socket, into.data(), into.size(), MSG_DONTWAIT); });
        if (got == 0)
            throw authentication_error(
                "the other end has hung up: the keys differ, or it is no "
                "manager of Lariat's");
        if (got > 0) {
            into = into.subspan(static_cast<std::size_t>(got));
        } else if (errno == EAGAIN) {
            readiness_awaiter more = wait_readable(socket);
            co_await std::move(more);
        } else {
            throw_error(system_code(-errno), "the handshake with a manager");
        }
    }
}

// All that one end sends is smaller than any socket's buffer.
void write_all(int socket, std::span<const std::byte> from) {
    const auto sent = uninterrupted(
        [&] { return ::send(socket, from.data(), from.size(), MSG_DONTWAIT | MSG_NOSIGNAL); });
    if (sent != static_cast<ssize_t>(from.size()))
        throw_error(system_code(sent < 0 ? -errno : -EAGAIN), "the handshake with a manager");
}

template <std::size_t Size>
void append(std::array<std::byte, Size>& to, std::size_t at, std::span<const std::byte> what) {
    std::memcpy(to.data() + at, what.data(), what.size());
}

std::span<const std::byte> greeting_bytes() noexcept { return std::as_bytes(std::span(greeting)); }

void check_greeting(std::span<const std::byte> got) {
    if (std::memcmp(got.data(), greeting.data(), greeting.size()) != 0)
        throw authentication_error("the other end does not speak as a manager of this Lariat does");
}

using hello = std::array<std::byte, greeting.size() + sizeof(digest)>;

hello make_hello(const digest& number) {
    hello made{};
    append(made, 0, greeting_bytes());
    append(made, greeting.size(), number);
    return made;
}

}  // namespace

void check_key(const std::string& key) {
    if (!can_sign())
        throw std::invalid_argument(
            "this Lariat was built without libcrypto, and cannot check a manager's key: without "
            "an address, the processes of the family reach it");
    if (key.empty())
        throw std::invalid_argument(
            "a manager with an address needs a key: manager_options(address, key)");
}

task<> prove_as_manager(int socket, std::string key) {
    challenge numbers{random_number(), {}};
    write_all(socket, make_hello(numbers.managers));
    std::array<std::byte, greeting.size() + 2 * sizeof(digest)> reply{};
    auto reading = read_all(socket, reply);
    co_await std::move(reading);
    check_greeting(reply);
    digest signature{};
    std::memcpy(numbers.users.data(), reply.data() + greeting.size(), sizeof(digest));
    std::memcpy(signature.data(), reply.data() + greeting.size() + sizeof(digest), sizeof(digest));
    const digest expected = sign(key, "user", numbers);
    if (!same(expected, signature))
        throw authentication_error("a connection was refused: its key is another one");
    std::array<std::byte, 1 + sizeof(digest)> proof{accepted};
    append(proof, 1, sign(key, "manager", numbers));
    write_all(socket, proof);
}

task<> prove_as_user(int socket, std::string key) {
    challenge numbers{{}, random_number()};
    hello theirs{};
    auto greeted = read_all(socket, theirs);
    co_await std::move(greeted);
    check_greeting(theirs);
    std::memcpy(numbers.managers.data(), theirs.data() + greeting.size(), sizeof(digest));
    std::array<std::byte, greeting.size() + 2 * sizeof(digest)> reply{};
    append(reply, 0, make_hello(numbers.users));
    append(reply, greeting.size() + sizeof(digest), sign(key, "user", numbers));
    write_all(socket, reply);
    std::array<std::byte, 1 + sizeof(digest)> proof{};
    auto answered = read_all(socket, proof);
    co_await std::move(answered);
    digest signature{};
    std::memcpy(signature.data(), proof.data() + 1, sizeof(digest));
    const digest expected = sign(key, "manager", numbers);
    if (proof.front() != accepted || !same(expected, signature))
        throw authentication_error("the manager does not have this key");
}

}  // namespace lariat::detail
