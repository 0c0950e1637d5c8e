#pragma once

#include <lariat/base/unique_fd.hpp>
#include <lariat/process/manager_call.hpp>
#include <lariat/process/message_stream.hpp>
#include <lariat/sync/event.hpp>
#include <lariat/task/join_handle.hpp>
#include <lariat/task/task.hpp>

#include "process/manager_wire.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>

namespace lariat::detail {

class manager_server;

/// An object that lives here. It goes with the last that holds it: members, its name, and
/// operations under way.
struct served_object {
    served_object(manager_server& its_server, const served_type& its_type, void* its_body) noexcept
        : server(its_server), type(its_type), body(its_body) {}
    served_object(const served_object&) = delete;
    served_object& operator=(const served_object&) = delete;
    ~served_object();

    manager_server& server;
    const served_type& type;
    void* body;
    std::uint64_t id = 0;
};
using object_hold = std::shared_ptr<served_object>;

/// Who holds objects: a process of the family, by its door; a proxy on its way, by its own; a
/// connection from an address; the manager itself.
class manager_member {
 public:
    void hold(const object_hold& object);
    /// Once less.
    void drop(std::uint64_t object) noexcept;
    /// All, and for good.
    void end() noexcept;

 private:
    struct held {
        object_hold object;
        std::size_t count = 0;
    };
    std::unordered_map<std::uint64_t, held> holds_;
    bool ended_ = false;
};

/// An operation that is a task. One that is cancelled before its first step never takes it, so it
/// cannot say that it has ended.
struct running_call {
    join_handle<> handle;
    bool begun = false;
};

/// A connection, and the operations that came over it and have not ended.
struct server_session {
    server_session(std::uint64_t number, std::shared_ptr<manager_member> of, message_stream its)
        : id(number), member(std::move(of)), stream(std::move(its)) {}

    std::uint64_t id;
    std::shared_ptr<manager_member> member;
    message_stream stream;
    std::size_t most = any_size;  ///< bytes of a message
    bool remote = false;
    bool gone = false;
    std::unordered_map<std::uint64_t, running_call> running;
    std::deque<parcel> line;                        ///< received, to be obeyed in this order
    std::unordered_set<std::uint64_t> withdrawn{};  ///< by what stands in the line
};
using session_ref = std::shared_ptr<server_session>;

/// What runs in a manager's process.
///
/// Invariant 1  an operation that has ended was answered, unless none was wanted or its connection
///              has gone
/// Invariant 2  when a connection has gone, and when one of its operations ends after that, the
///              objects concerned hear of it (served_type::left)
class manager_server {
 public:
    explicit manager_server(manager_seed&& seed);
    manager_server(const manager_server&) = delete;
    manager_server& operator=(const manager_server&) = delete;

    [[nodiscard]] task<> serve();
    /// What others say through a door, said by an object or operation of this process.
    void take_own(const door_message& message, parcel&& with);
    void object_gone(const served_object& object) noexcept;
    /// Errors: std::invalid_argument if there is none of this number, or it is of another class.
    [[nodiscard]] object_hold object_of(std::uint64_t id, const std::type_info& type) const;

 private:
    class session_guard;

    [[nodiscard]] static task<> watch_door(manager_server& self, unique_fd door,
                                           std::shared_ptr<manager_member> member, bool owners);
    [[nodiscard]] static task<> watch_signal(manager_server& self);
    [[nodiscard]] static task<> accept_all(manager_server& self, unique_fd listener);
    [[nodiscard]] static task<> greet(manager_server& self, unique_fd socket);
    [[nodiscard]] static task<> serve_session(session_guard guard);
    [[nodiscard]] static task<> run_call(manager_server& self, session_ref session,
                                         object_hold object, const served_call* call,
                                         std::uint64_t id, parcel request);

    void take(const std::shared_ptr<manager_member>& member, const door_message& message,
              parcel&& with);
    void open(const std::shared_ptr<manager_member>& member, message_stream stream, bool remote);
    void end_session(server_session& session) noexcept;
    static void stand_in_line(server_session& session, parcel&& message);
    /// What has come behind a request is looked at before that is obeyed: of what was withdrawn
    /// while this process was stopped, or busy, nothing is begun. Takes what was received, and what
    /// lies in the socket if the last look is long ago. Returns why no more can be taken.
    [[nodiscard]] static std::string line_up(server_session& session, time_point& looked);
    /// False for what is no request.
    [[nodiscard]] bool obey(const session_ref& session, parcel&& message);
    void call(const session_ref& session, const manager_request& head, parcel&& message);
    void make(server_session& session, const manager_request& head, parcel&& message);
    void get(server_session& session, const manager_request& head, parcel&& message);
    void forget(server_session& session, const manager_request& head, parcel&& message);
    void cancel(server_session& session, std::uint64_t id) noexcept;
    static void answer_cancelled(server_session& session, std::uint64_t id) noexcept;
    [[nodiscard]] object_hold find(std::uint64_t id) const noexcept;
    static void answer(server_session& session, std::uint64_t id, manager_answer::verb kind,
                       parcel&& what) noexcept;
    void report(const std::string& what) noexcept;

    manager_seed seed_;
    std::shared_ptr<manager_member> self_;
    std::unordered_map<std::uint64_t, std::weak_ptr<served_object>> objects_;
    std::map<std::string, object_hold> names_;
    std::set<const served_object*> hearers_;  // of connections that end
    std::set<server_session*> sessions_;
    std::size_t strangers_ = 0;  // connections that have not proved the key yet
    std::uint64_t next_object_ = 0;
    std::uint64_t next_session_ = 0;
    event stop_;
};

}  // namespace lariat::detail
