#pragma once

#include <lariat/base/unique_fd.hpp>
#include <lariat/process/start_request.hpp>

#include "base/fork_guard.hpp"
#include "process/channel.hpp"
#include "process/modules.hpp"
#include "process/protocol.hpp"

#include <atomic>
#include <cstdint>
#include <exception>
#include <initializer_list>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include <sys/types.h>

namespace lariat::detail {

struct process_state;

/// A process that was started.
struct started_process {
    int pid = -1;
    std::string name;
    unique_fd pidfd;
    unique_fd status;  ///< an end_record comes; end of file without one: the fork server is gone
};

/// What a process of a family knows of itself and of the way to the fork server.
///
/// Threads      any; one request at a time
/// Lifetime     never destroyed: it serves until the last instruction of the process
class family {
 public:
    struct identity {
        std::string name = "main";
        pid_t parent = 0;
        bool child = false;
        bool daemon = false;
    };

    /// This process's; nullptr outside of one, and in a child that was forked by hand.
    [[nodiscard]] static family* current() noexcept;
    /// Errors: what became of an attempt to start one; std::logic_error, with the right line.
    [[nodiscard]] static family& required(const char* verb);

    /// Throws what became of an attempt to begin one that was refused, if there was one.
    static void rethrow_refusal();

    /// Makes the fork server. Nothing if there is one. Errors: see lariat::start_fork_server.
    static void begin();
    /// The same; a refusal is kept, for `required` to throw.
    static void try_to_begin() noexcept;
    /// In a new process, which inherited its maker's, or has none: it was executed anew.
    static void enter(unique_fd channel, identity who);

    [[nodiscard]] started_process start(start_request& request);
    /// Tells what exception ends this process; `record` is a packed exception_record.
    void tell_failure(std::span<const std::byte> record) noexcept;
    /// The orderly end of the first process: daemons go, and the fork server if nobody else is
    /// left.
    void leave() noexcept;

    [[nodiscard]] const identity& who() const noexcept { return who_; }
    [[nodiscard]] const std::vector<loaded_module>& modules() const noexcept { return modules_; }
    [[nodiscard]] bool at_home() const noexcept { return home_.at_home(); }

    void add_child(process_state& child);
    void remove_child(process_state& child) noexcept;
    /// Calls look(state) for each.
    template <class Look>
    void each_child(Look look) {
        const std::lock_guard held(children_mutex_);
        for (process_state* child : children_) look(*child);
    }

 private:
    family() = default;
    static std::atomic<family*> the_one;
    static std::exception_ptr& why_there_is_none() noexcept;  // set before anything can ask

    void check(const start_request& request, const std::string& name) const;
    [[nodiscard]] start_reply exchange(std::initializer_list<bytes_view> message,
                                       std::span<const int> descriptors, unique_fd& pidfd);
    void server_has_gone(start_reply& reply) noexcept;
    [[nodiscard]] std::string next_name();
    void forget_server() noexcept;

    fork_guard home_;
    identity who_;
    std::mutex channel_mutex_;
    unique_fd channel_;
    pid_t server_ = -1;  ///< in the first process: a child of its own, to be waited for
    std::vector<loaded_module> modules_;  ///< when it began
    std::atomic<std::uint64_t> named_{0};
    std::mutex children_mutex_;
    std::vector<process_state*> children_;
};

/// As std::exit finds it: the code of the exit. For processes that were started: nothing that they
/// inherited is destroyed, as it is the first process's.
[[noreturn]] void end_child(int code) noexcept;

}  // namespace lariat::detail
