#pragma once

#include <lariat/offload/signals.hpp>
#include <lariat/process/workers.hpp>
#include <lariat/sync/queue.hpp>

#include "process/workers/instance.hpp"
#include "process/workers/sockets.hpp"
#include "process/workers/status_door.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace lariat::detail {

/// Keeps the workers running. Everything that happens becomes an event of one queue, and one task
/// decides what follows.
///
/// States of a seat   empty (back-off) -> running -> empty (crashed); running, replaced by another
///                    that is ready -> running (reload); running -> done (returned by itself:
///                    its sockets are closed, nobody would take from them); running, told to end
///                    by somebody else (a SIGTERM to its pid) -> running anew, at once, beside the
///                    one that drains: its sockets have somebody who takes from them
/// Reload             seat by seat: start the replacement; when it is ready, ask the old one to
///                    end; when that has ended, the next seat. A replacement that does not become
///                    ready leaves the old one where it is, and the reload goes on
/// Stop               no connection gets into a queue any more; each worker serves what its queue
///                    holds and closes its listeners; a socket that none of them has is closed
class supervisor {
 public:
    supervisor(worker_function function, const workers_options& options);

    /// The exit code.
    [[nodiscard]] task<int> run();

 private:
    using instance = std::shared_ptr<worker_instance>;
    enum class happening : std::uint8_t {
        ready,
        leaving,
        closed,
        ended,
        restart,
        overdue,
        reload,
        stop
    };
    struct event {
        happening what = happening::stop;
        unsigned seat = 0;
        instance who;
        worker_end how;
    };
    struct seat {
        instance current;
        instance replacement;
        unsigned crashes = 0;  // in a row
        unsigned failed_starts = 0;
        unsigned restarts = 0;
        bool done = false;
        call_handle restart;
    };

    void handle(event& news);
    [[nodiscard]] bool over() const noexcept;
    void start_current(unsigned index);
    [[nodiscard]] instance start(unsigned index);
    void start_failed(unsigned index, const std::string& why);
    void became_ready(const event& news);
    void told_to_end(const event& news);
    void has_ended(event& news);
    void crashed(unsigned index, const worker_instance& who, const std::string& reason);
    void back_off(unsigned index);
    void begin_reload();
    void reload_from(unsigned index);
    void replacement_failed(unsigned index, const std::string& reason);
    void ask_to_end(const instance& who);
    void call_when_overdue(const instance& who, duration limit);
    void stop_all(int exit_code);
    void close_unused_sockets() noexcept;
    [[nodiscard]] task<> watch_end(instance who);
    [[nodiscard]] task<> watch_desk(instance who);
    [[nodiscard]] task<> watch_signals();
    /// Whether it got its listener.
    [[nodiscard]] bool answer(const worker_instance& who, const std::string& address,
                              std::uint16_t port);
    [[nodiscard]] std::string status() const;
    [[nodiscard]] std::optional<unsigned> core_of(unsigned index) const;

    worker_function function_;
    workers_options options_;
    std::vector<unsigned> cores_;
    std::vector<seat> seats_;
    std::vector<instance> running_;
    worker_sockets sockets_;
    std::unique_ptr<status_door> door_;
    queue<event> events_;
    std::optional<signal_watch> signs_;
    std::optional<unsigned> reloading_;  ///< the seat
    bool reload_again_ = false;
    bool stopping_ = false;
    int exit_code_ = 0;
};

}  // namespace lariat::detail
