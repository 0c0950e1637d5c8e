#include "cores/loop_thread_state.hpp"

#include <lariat/base/assert.hpp>
#include <lariat/base/error.hpp>
#include <lariat/loop/loop.hpp>
#include <lariat/task/error_group.hpp>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <system_error>
#include <utility>

#include <pthread.h>
#include <sched.h>

namespace lariat::detail {

namespace {

std::string name_of(const loop_thread_options& options) {
    static std::atomic<unsigned> unnamed{0};
    if (!options.name.empty()) return options.name;
    return "loop-" + std::to_string(unnamed.fetch_add(1, std::memory_order_relaxed) + 1);
}

}  // namespace

loop_thread_state::loop_thread_state(const loop_thread_options& chosen,
                                     std::unique_ptr<thread_main> its_main)
    : options(chosen), name(name_of(chosen)), main_(std::move(its_main)) {}

void loop_thread_state::start() {
    try {
        thread_ = std::thread([self = shared_from_this()] { self->body(); });
    } catch (const std::system_error& error) {
        throw std::system_error(error.code(), "starting the thread " + name);
    }
    id = thread_.get_id();
    std::unique_lock held(mutex_);
    changed_.wait(held, [this] { return now_ != phase::starting; });
    if (started_) return;
    const std::exception_ptr why = std::exchange(failure_, nullptr);
    held.unlock();
    join_thread();
    std::rethrow_exception(why);
}

void loop_thread_state::body() noexcept {
    std::exception_ptr why;
    try {
        prepare();
        run_loop();
    } catch (...) {
        why = std::current_exception();
    }
    main_.reset();
    set_ended(std::move(why));
}

void loop_thread_state::prepare() const {
    constexpr std::size_t shown = 15;  // pthread_setname_np(3)
    ::pthread_setname_np(::pthread_self(), name.substr(0, shown).c_str());
    if (!options.core) return;
    cpu_set_t only;
    CPU_ZERO(&only);
    if (*options.core < CPU_SETSIZE) CPU_SET(*options.core, &only);
    if (::sched_setaffinity(0, sizeof only, &only) == 0) return;
    throw std::system_error(
        errno, std::system_category(),
        "pinning the thread " + name + " to core " + std::to_string(*options.core));
}

void loop_thread_state::run_loop() {
    loop own(options.run);
    set_running(own);
    own.run(run_main());
}

task<> loop_thread_state::run_main() {
    cancel_scope scope;
    struct leaver {
        loop_thread_state& state;
        ~leaver() { state.scope_ = nullptr; }
    } const leave{*this};
    scope_ = &scope;
    if (stop_asked_) scope.cancel();
    task<> work = main_->begin();
    co_await scope.run(std::move(work));
}

void loop_thread_state::set_running(const loop& own) {
    const std::lock_guard held(mutex_);
    ref.emplace(own);
    now_ = phase::running;
    started_ = true;
    changed_.notify_all();
}

void loop_thread_state::set_ended(std::exception_ptr why) noexcept {
    std::vector<promise<>> joiners;
    bool nobody_joins = false;
    {
        const std::lock_guard held(mutex_);
        failure_ = std::move(why);
        now_ = phase::ended;
        joiners = std::move(joiners_);
        nobody_joins = detached_;  // who detaches it later finds the failure
        changed_.notify_all();
    }
    for (promise<>& each : joiners) each.set_value();
    if (nobody_joins) report_failure();
}

void loop_thread_state::stop() {
    // Refused: its loop has closed, it is ending anyway.
    (void)ref->post([self = shared_from_this()] {
        self->stop_asked_ = true;
        if (self->scope_ != nullptr) self->scope_->cancel();
    });
}

future<> loop_thread_state::when_ended() {
    promise<> told;
    future<> ended = told.get_future();
    const std::lock_guard held(mutex_);
    if (now_ == phase::ended)
        told.set_value();
    else
        joiners_.push_back(std::move(told));
    return ended;
}

bool loop_thread_state::wait_ended(time_point until) {
    std::unique_lock held(mutex_);
    const auto ended = [this] { return now_ == phase::ended; };
    if (until != forever) return changed_.wait_until(held, until, ended);
    changed_.wait(held, ended);
    return true;
}

void loop_thread_state::join_thread() {
    const std::lock_guard held(join_mutex_);
    if (thread_.joinable()) thread_.join();
}

void loop_thread_state::throw_failure() {
    std::exception_ptr why;
    {
        const std::lock_guard held(mutex_);
        why = std::exchange(failure_, nullptr);
    }
    if (why) std::rethrow_exception(why);
}

void loop_thread_state::report_failure() noexcept {
    failure_report report;
    {
        const std::lock_guard held(mutex_);
        report.error = std::exchange(failure_, nullptr);
    }
    if (!report.error) return;
    if (!options.run.report) {
        std::fprintf(stderr, "lariat: the thread %s failed and nobody joined it: %s\n",
                     name.c_str(), describe(report.error).c_str());
        return;
    }
    report.task = "the thread " + name;
    options.run.report(report);
}

void loop_thread_state::detach() noexcept {
    bool too_late = false;
    {
        const std::lock_guard held(mutex_);
        detached_ = true;
        too_late = now_ == phase::ended;
    }
    if (too_late) report_failure();
}

bool loop_thread_state::alive() {
    const std::lock_guard held(mutex_);
    return now_ != phase::ended;
}

bool loop_thread_state::is_detached() {
    const std::lock_guard held(mutex_);
    return detached_;
}

}  // namespace lariat::detail
