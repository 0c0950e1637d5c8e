#pragma once

#include <lariat/base/unique_fd.hpp>
#include <lariat/loop/loop_ref.hpp>
#include <lariat/process/manager_call.hpp>
#include <lariat/process/manager_options.hpp>
#include <lariat/process/message_stream.hpp>
#include <lariat/process/process.hpp>
#include <lariat/task/scheduler.hpp>
#include <lariat/task/task.hpp>

#include "loop/expectation.hpp"
#include "process/manager_wire.hpp"

#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

namespace lariat::detail {

class manager_server;

/// One loop's connection to a manager: what is under way over it.
///
/// Invariant    a request is in `waiting` (its task waits), in `late` (its task has given up, or
///              there was none), or answered
/// Threads      its loop's
struct manager_session {
    struct late_request {
        std::uint64_t object;
        manager_undo undo;
    };

    manager_session(message_stream its_stream, std::weak_ptr<manager_link> its_link) noexcept;

    /// Errors: limit_error, std::invalid_argument: for this request alone; why it is over.
    void send(manager_wait& wait);
    void cancel(manager_wait& wait) noexcept;
    /// Nobody waits for it any more.
    void give_up(manager_wait& wait) noexcept;
    /// Without an answer. False if it cannot be sent.
    bool tell(parcel&& request) noexcept;
    /// A request without arguments.
    bool tell(const manager_request& head) noexcept;
    /// Asks for an answer that nobody waits for: heard() counts it.
    void ping() noexcept;
    [[nodiscard]] std::uint64_t heard() const noexcept { return heard_; }
    /// False for what is no answer.
    [[nodiscard]] bool take_answer(parcel&& message) noexcept;
    void end(const std::exception_ptr& why) noexcept;

    scheduler* home;
    const loop_ref home_loop{loop::current()};
    message_stream stream;
    std::weak_ptr<manager_link> link;
    bool remote = false;
    bool said_bye = false;
    std::exception_ptr over;

 private:
    void undo(const late_request& request, parcel&& answer) noexcept;
    void undo_hold(const late_request& request) noexcept;
    void forget_name_of(std::uint64_t object) noexcept;

    void expect_answers() noexcept;

    std::unordered_map<std::uint64_t, manager_wait*> waiting_;
    expectation answers_;  // while somebody waits
    std::unordered_map<std::uint64_t, late_request> late_;
    std::uint64_t next_id_ = 0;
    std::uint64_t heard_ = 0;
};

/// What this process has to do with one manager: a door, and a connection a loop.
///
/// Threads      any, but for the sessions
class manager_link : public std::enable_shared_from_this<manager_link> {
 public:
    /// In the family, through a door; the process if it was started here.
    manager_link(manager_identity who, unique_fd door, std::optional<process> child = std::nullopt);
    /// By an address.
    manager_link(manager_identity who, manager_address where, message_stream connected);
    /// In the manager itself.
    manager_link(manager_identity who, manager_server& server);
    manager_link(const manager_link&) = delete;
    manager_link& operator=(const manager_link&) = delete;
    ~manager_link();

    /// The one of this process, if it has one.
    [[nodiscard]] static std::shared_ptr<manager_link> find(const manager_identity& who);
    /// Makes it known, to be found.
    void enter();

    /// Pre: a loop runs here. Errors: manager_died, closed_error, std::system_error,
    /// std::logic_error on a loop that an address's connection does not belong to.
    [[nodiscard]] std::shared_ptr<manager_session> session_here();
    void forget(const manager_session& session) noexcept;
    /// For one that was reached by its address, as soon as it is made.
    void begin_reading();

    /// A door that holds the object, for another process. Errors: those of session_here.
    [[nodiscard]] unique_fd lend(std::uint64_t object);
    /// This process holds an object, by a door of its own; it does so by its one door from now on.
    void adopt(std::uint64_t object, unique_fd lent);
    void drop(std::uint64_t object) noexcept;
    /// For the reader of a session that has ended: why. It waits a little for the process's end.
    [[nodiscard]] static task<std::exception_ptr> find_out(std::shared_ptr<manager_link> self);

    [[nodiscard]] static task<> shut_down(std::shared_ptr<manager_link> self);
    void set_over(std::exception_ptr why) noexcept;

    const manager_identity identity;
    std::optional<manager_address> address;
    std::chrono::milliseconds grace{2000};

 private:
    void send(const door_message& message, parcel& with);
    void check_over();
    void flush_drops() noexcept;
    void drop_from_afar(std::uint64_t object) noexcept;
    void tell_drops() noexcept;
    [[nodiscard]] std::exception_ptr death(bool known, int exit_code) const;
    [[nodiscard]] std::shared_ptr<manager_session> open_session();

    std::mutex mutex_;  // guards what follows
    unique_fd door_;
    std::optional<process> child_;
    manager_server* server_ = nullptr;
    std::vector<std::shared_ptr<manager_session>> sessions_;
    std::vector<std::uint64_t> drops_;  // that found no room; by an address: on their way home
    std::exception_ptr over_;
    bool remote_ = false;
};

}  // namespace lariat::detail
