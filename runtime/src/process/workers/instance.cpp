#include "process/workers/instance.hpp"

#include <lariat/base/error.hpp>
#include <lariat/process/remote_error.hpp>
#include <lariat/task/task.hpp>

#include "process/workers/desk.hpp"

#include <exception>
#include <string>
#include <system_error>
#include <utility>

#include <unistd.h>

namespace lariat::detail {

namespace {

/// The same of a process's and of a thread's.
template <class Record>
std::string reason_of(const Record& failed) {
    const std::string type(failed.type);
    return failed.text.empty() ? type : type + ": " + std::string(failed.text);
}

}  // namespace

worker_instance::worker_instance(worker_function function, const workers_options& options,
                                 unsigned number, unsigned count, std::optional<unsigned> core)
    : index(number), started(clock::now()) {
    desk_ends line = open_desk();
    desk = std::move(line.supervisor);
    worker_order order{function, counters, std::move(line.worker),
                       number,   count,    options.drain.count()};
    const std::string name = options.name + "-" + std::to_string(number);
    if (options.mode == workers_mode::processes) {
        process_options how(name);
        how.daemon = true;
        how.core = core;
        child = process::start(how, &work_in_process, std::move(order));
    } else {
        loop_thread_options how;
        how.name = name;
        how.core = core;
        thread = loop_thread(how, &work_in_thread, std::move(order));
    }
}

void worker_instance::ask_to_end() noexcept {
    if (std::exchange(leaving, true)) return;
    counters->stopping.store(1, std::memory_order_relaxed);
    if (thread) {
        thread.stop();
    } else {
        (void)child.terminate();
    }
}

void worker_instance::kill() noexcept {
    if (!thread) (void)child.kill();
}

task<worker_end> worker_instance::wait_end() {
    worker_end how;
    if (thread) {
        try {
            co_await thread.join();
            how.well = true;
        } catch (const cancelled&) {
            throw;
        } catch (...) {
            how.reason = reason_of(carry(std::current_exception()));
        }
        co_return how;
    }
    process_status status;
    try {
        status = co_await child.join();
    } catch (const std::system_error& unknown) {
        how.lost = true;
        how.reason = unknown.what();
    }
    if (how.lost) {
        kill();
        co_return how;
    }
    const bool may_end = leaving || counters->returned.load(std::memory_order_relaxed) != 0;
    how.well = status.exit_code() == 0 && may_end;
    if (how.well) co_return how;
    if (const auto failed = status.exception()) {
        how.reason = reason_of(*failed);
    } else if (status.signal() != 0) {
        how.reason = "signal " + std::to_string(status.signal());
    } else {
        how.reason = "exit code " + std::to_string(status.exit_code());
    }
    co_return how;
}

int worker_instance::pid() const noexcept { return thread ? ::getpid() : child.pid(); }

}  // namespace lariat::detail
