#include <lariat/process/process.hpp>

#include <lariat/base/assert.hpp>
#include <lariat/base/error.hpp>
#include <lariat/task/nothrow.hpp>
#include <lariat/task/timeout.hpp>

#include "process/process_state.hpp"

#include <cerrno>
#include <csignal>
#include <system_error>

#include <poll.h>

namespace lariat {

namespace detail {

process_ref::process_ref(const process_ref& other) noexcept : state_(other.state_) {
    if (state_ != nullptr) state_->add_ref();
}

void process_ref::drop() noexcept { state_->drop_ref(); }

namespace {

op poll_for_end() noexcept {
    op asked;
    asked.code = op_code::poll;
    asked.argument = POLLIN;
    return asked;
}

void require_started(const process_ref& state) noexcept {
    require(static_cast<bool>(state), "an empty process has to be started before anything else");
}

bool send_to(const process_ref& child, int number) {
    (void)family::required("process::send_signal");
    const int refused = child->signal(number);
    if (refused != 0 && refused != ESRCH)
        throw_error(system_code(-refused), "sending signal " + std::to_string(number) + " to " +
                                               child->name + ", process " +
                                               std::to_string(child->pid));
    return refused == 0;
}

process_status value_of(const lariat::result<process_status>& known, const process_state& of) {
    if (known) return *known;
    throw_error(known.error(), "joining " + of.name +
                                   ": the fork server was killed, and nobody "
                                   "else knows how process " +
                                   std::to_string(of.pid) + " ended");
}

}  // namespace

process_wait::process_wait(process_ref child) noexcept
    : io_awaiter(poll_for_end()), state_(std::move(child)) {}

bool process_wait::must_wait() noexcept {
    require_started(state_);
    if (family::current() == nullptr) return false;  // finish_nothrow says why
    op::fd = state_->begin_wait();
    waits_ = op::fd >= 0;
    return waits_;
}

lariat::result<process_status> process_wait::finish_nothrow() {
    if (waits_) state_->end_wait();
    waits_ = false;
    (void)family::required("process::join");
    const std::int32_t got = finish();
    if (got < 0) return system_code(got);
    auto known = state_->outcome();
    if (!known) return system_code(-ECHILD);
    return std::move(*known);
}

process_status process_wait::await_resume() {
    return value_of(finish_nothrow(), *state_.operator->());
}

// With its own reference: the handle may go meanwhile.
task<process_status> stop_process(process_ref child) {
    const bool at_once = child->grace <= duration::zero();
    send_to(child, at_once ? SIGKILL : SIGTERM);
    if (!at_once) {
        auto waiting = timeout(child->grace, process_wait(child));
        const auto obeyed = co_await nothrow(std::move(waiting));
        if (!obeyed && obeyed.error() == errc::timed_out) send_to(child, SIGKILL);
    }
    process_status ended = co_await process_wait(child);
    co_return ended;
}

task<process_status> run_process(start_request request) {
    process child(std::move(request));
    process_status ended;
    bool cut = false;
    try {
        ended = co_await child.join();
    } catch (const cancelled&) {
        cut = true;
    }
    if (cut) {
        auto stopping = child.stop();
        (void)co_await shield(std::move(stopping));
        throw_cancelled();
    }
    ended.check();
    co_return ended;
}

}  // namespace detail

process::process(detail::start_request&& request) {
    detail::process_ref made(new detail::process_state(request.options));
    made->start(request);
    state_ = std::move(made);
}

process& process::operator=(process&& other) noexcept {
    process taken(std::move(other));
    std::swap(state_, taken.state_);  // what was here is ended
    return *this;
}

process::~process() {
    if (state_) state_->abandon();
}

int process::pid() const noexcept {
    detail::require_started(state_);
    return state_->pid;
}

const std::string& process::name() const noexcept {
    detail::require_started(state_);
    return state_->name;
}

bool process::is_alive() const {
    detail::require_started(state_);
    (void)detail::family::required("process::is_alive");
    return !state_->is_over();
}

std::optional<process_status> process::exit_status() const {
    detail::require_started(state_);
    (void)detail::family::required("process::exit_status");
    const auto known = state_->outcome();
    if (!known) return std::nullopt;
    return detail::value_of(*known, *state_.operator->());
}

process_status process::join_blocking() const {
    detail::require_started(state_);
    (void)detail::family::required("process::join_blocking");
    (void)state_->wait_blocking(forever);
    return exit_status().value();
}

std::optional<process_status> process::join_blocking(duration limit) const {
    detail::require_started(state_);
    (void)detail::family::required("process::join_blocking");
    (void)state_->wait_blocking(saturating_add(clock::now(), limit));
    return exit_status();
}

bool process::send_signal(int number) {
    detail::require_started(state_);
    return detail::send_to(state_, number);
}

task<process_status> process::stop() {
    detail::require_started(state_);
    return detail::stop_process(state_);
}

void detach(process child) noexcept {
    if (!child.state_) return;
    child.state_->let_go();
    child.state_ = detail::process_ref();
}

std::vector<process_info> active_children() {
    std::vector<process_info> alive;
    detail::family* const own = detail::family::current();
    if (own == nullptr) return alive;
    own->each_child([&alive](detail::process_state& child) {
        if (child.is_over()) return;
        process_info line;
        line.pid = child.pid;
        line.name = child.name;
        line.daemon = child.daemon;
        alive.push_back(std::move(line));
    });
    return alive;
}

}  // namespace lariat
