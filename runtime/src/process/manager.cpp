#include <lariat/process/manager.hpp>

#include "process/manager_link.hpp"
#include "process/manager_socket.hpp"
#include "process/manager_wire.hpp"

#include <lariat/base/error.hpp>
#include <lariat/process/process.hpp>
#include <lariat/task/timeout.hpp>

#include <cerrno>
#include <chrono>
#include <utility>

#include <sys/random.h>

namespace lariat {

namespace {

constexpr std::chrono::seconds connect_time{10};

detail::manager_identity new_identity(const std::string& name) {
    detail::manager_identity made;
    made.name = name;
    if (::getrandom(made.number.data(), sizeof made.number, 0) !=
        static_cast<ssize_t>(sizeof made.number))
        throw_error(system_code(-errno), "starting a manager");
    return made;
}

}  // namespace

manager manager::start(const manager_options& options) {
    detail::manager_seed seed;
    seed.identity = new_identity(options.name);
    std::optional<manager_address> bound;
    if (options.address) {
        detail::check_key(options.authkey);
        detail::manager_listener listener = detail::listen_at(*options.address);
        seed.listener = std::move(listener.socket);
        if (const auto* const path = std::get_if<std::filesystem::path>(&listener.bound)) {
            seed.path = std::filesystem::absolute(*path).native();
            seed.file = detail::socket_file_at(seed.path).value_or(detail::socket_file());
        }
        seed.authkey = options.authkey;
        bound = std::move(listener.bound);
    }
    seed.max_message = options.max_message;
    seed.handshake_time = options.handshake_time;
    seed.brief_spin = options.brief_spin;
    detail::door_pair door = detail::make_door();
    seed.door = std::move(door.theirs);
    process_options how(options.name);
    how.daemon = true;
    how.grace = options.grace;
    detail::manager_identity identity = seed.identity;
    process child = process::start(how, &detail::serve_manager, std::move(seed));
    identity.pid = child.pid();
    auto link = std::make_shared<detail::manager_link>(std::move(identity), std::move(door.ours),
                                                       std::move(child));
    link->address = std::move(bound);
    link->grace = options.grace;
    link->enter();
    return manager(std::make_shared<const detail::managed_object>(std::move(link), 0));
}

task<manager> manager::connect(manager_address where, std::string authkey) {
    detail::check_key(authkey);
    auto connecting = timeout(connect_time, detail::connect_to(where));
    unique_fd socket = co_await std::move(connecting);
    auto proving = timeout(connect_time, detail::prove_as_user(socket.get(), std::move(authkey)));
    co_await std::move(proving);
    detail::manager_identity who = new_identity("the manager at " + detail::describe(where));
    auto link = std::make_shared<detail::manager_link>(std::move(who), std::move(where),
                                                       detail::message_stream(std::move(socket)));
    link->begin_reading();
    co_return manager(std::make_shared<const detail::managed_object>(std::move(link), 0));
}

detail::parcel manager::pack_request(detail::manager_request::verb what, std::uint64_t key,
                                     const std::string& name) {
    detail::parcel request;
    detail::parcel_writer to(request);
    detail::manager_request head;
    head.key = key;
    head.what = what;
    to.append(&head, sizeof head);
    detail::write_value(to, name);
    return request;
}

detail::manager_call<bool> manager::forget(const std::string& name) const {
    return detail::manager_call<bool>(checked(),
                                      pack_request(detail::manager_request::verb::forget, 0, name),
                                      typeid(manager), detail::manager_undo());
}

task<> manager::shutdown() const {
    const std::shared_ptr<detail::manager_link>& link = checked()->shared_link();
    return detail::manager_link::shut_down(link);
}

int manager::pid() const noexcept { return checked()->link().identity.pid; }

const std::optional<manager_address>& manager::address() const noexcept {
    return checked()->link().address;
}

manager manager::unpack_from(detail::parcel_reader& from) { return manager(unpack_object(from)); }

}  // namespace lariat
