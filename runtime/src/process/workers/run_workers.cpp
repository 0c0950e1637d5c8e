#include <lariat/process/workers.hpp>

#include <lariat/loop/loop.hpp>

#include "process/workers/supervisor.hpp"

#include <stdexcept>
#include <string>

namespace lariat {

namespace {

void require_positive(bool holds, const char* option, const char* right) {
    if (!holds)
        throw std::invalid_argument(std::string("workers_options.") + option + ": give " + right);
}

void check_options(worker_function function, const workers_options& options) {
    if (function == nullptr)
        throw std::invalid_argument("run_workers: the worker's function is null");
    require_positive(options.drain >= duration::zero(), "drain", "0 (cut at once) or more");
    require_positive(options.grace >= duration::zero(), "grace", "0 (killed at once) or more");
    require_positive(options.start_limit > duration::zero(), "start_limit", "more than 0");
    require_positive(options.first_backoff > duration::zero(), "first_backoff", "more than 0");
    require_positive(options.most_backoff >= options.first_backoff, "most_backoff",
                     "first_backoff or more");
    require_positive(options.most_failed_starts > 0, "most_failed_starts", "1 or more");
    require_positive(options.count < detail::max_processes - 1, "count", "less than 1,023");
}

}  // namespace

int run_workers(worker_function function, const workers_options& options) {
    check_options(function, options);
    run_options how;
    how.handle_interrupt = false;  // SIGINT is the supervisor's
    loop own(how);
    detail::supervisor keeper(function, options);
    return own.run(keeper.run());
}

}  // namespace lariat
