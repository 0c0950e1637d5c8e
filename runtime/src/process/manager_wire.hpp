#pragma once

#include <lariat/base/unique_fd.hpp>
#include <lariat/process/manager_options.hpp>
#include <lariat/process/parcel.hpp>

#include "process/socket_file.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>

/// What a manager and its users say to each other, beside the requests (manager_request).
namespace lariat::detail {

/// Heads an answer; the result follows, or an exception_record.
struct manager_answer {
    enum class verb : std::uint64_t { value, thrown, cancelled, unknown, bye };

    std::uint64_t id = 0;
    verb kind = verb::value;
};

/// Which manager. Two of the same number are the same.
struct manager_identity {
    std::array<std::uint64_t, 2> number{};
    int pid = 0;
    std::string name;
};

/// What goes through a door: a socket of whole messages whose other end is the manager's. Who has
/// one may use the manager; what was said through it is held until the last copy of it is closed.
/// So a reference on its way to another process is a door of its own: lost, it closes itself.
struct door_message {
    enum class verb : std::uint64_t {
        connect,  ///< a message_stream: bytes, descriptor and reference
        lend,     ///< the descriptor is a new door, which holds the object
        adopt,    ///< the object is held by this door; the descriptor, one that held it, closes
        drop,     ///< the object is held once less
        stop,
    };

    verb what = verb::stop;
    std::uint64_t object = 0;
    std::uint64_t reference = 0;
};
inline constexpr std::size_t most_door_bytes = 256;

struct door_pair {
    unique_fd ours;
    unique_fd theirs;
};
/// Errors: std::system_error.
[[nodiscard]] door_pair make_door();

enum class door_patience { none, waits };
/// Returns 0, -EAGAIN (only without patience: too much waits there) or another negated errno. What
/// `with` brings is given away if it is sent.
[[nodiscard]] int send_through_door(int door, door_message message, parcel& with,
                                    door_patience patience) noexcept;
/// Returns 1 for a message, 0 for the end, or a negated errno (-EBADMSG: senseless).
[[nodiscard]] int receive_through_door(int door, door_message& message, parcel& with);

/// What a manager's process is started with.
struct manager_seed {
    manager_identity identity;
    unique_fd door;
    unique_fd listener;  ///< may be none
    std::string path;    ///< of its socket, to be removed at the end
    socket_file file;    ///< if this one lies there then
    std::string authkey;
    std::uint64_t max_message = 0;
    std::chrono::milliseconds handshake_time{0};
    bool brief_spin = true;  ///< its loop's

    void pack_into(parcel_writer& to) &&;
    [[nodiscard]] static manager_seed unpack_from(parcel_reader& from);
};

/// The whole of a manager's process.
void serve_manager(manager_seed seed);

[[nodiscard]] parcel pack_thrown(const std::exception_ptr& thrown);

}  // namespace lariat::detail
