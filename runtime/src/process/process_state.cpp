#include "process/process_state.hpp"

#include <lariat/base/error.hpp>
#include <lariat/task/scheduler.hpp>

#include "offload/uninterrupted.hpp"
#include "process/poll_timeout.hpp"
#include "process/protocol.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <span>
#include <utility>

#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace lariat::detail {

process_state::process_state(const process_options& options) noexcept
    : io_object(&process_state::loop_closes),
      timer_entry(&process_state::grace_over),
      grace(saturated(options.grace)),
      daemon(options.daemon) {}

process_state::~process_state() { unlist(); }

void process_state::start(start_request& request) {
    family& own = family::required("process::start");
    started_process made = own.start(request);
    pid = made.pid;
    name = std::move(made.name);
    pidfd_ = std::move(made.pidfd);
    status_ = std::move(made.status);
    own.add_child(*this);
    listed_ = true;
}

// From here on the fork server finds nobody to tell: what it told before is in the socket.
void process_state::let_go() noexcept {
    unlist();
    if (family::current() == nullptr) return;
    {
        const std::lock_guard held(mutex_);
        if (now_ == phase::running && waiters_ == 0) (void)::shutdown(status_.get(), SHUT_RD);
    }
    if (is_over()) report_unjoined();
}

void process_state::unlist() noexcept {
    if (!std::exchange(listed_, false)) return;
    if (family* const own = family::current()) own->remove_child(*this);
}

// Under the mutex.
void process_state::read_end() noexcept {
    if (now_ != phase::running) return;
    std::array<std::byte, most_failure_bytes + sizeof(end_record)> room;
    const auto got = uninterrupted(
        [&] { return ::recv(status_.get(), room.data(), room.size(), MSG_DONTWAIT); });
    if (got < 0 && errno == EAGAIN) return;
    end_record record;
    if (got < std::ssize(bytes_of(record))) {
        now_ = phase::lost;
    } else {
        std::memcpy(&record, room.data(), sizeof record);
        understand(record, std::span<const std::byte>(room)
                               .first(static_cast<std::size_t>(got))
                               .subspan(sizeof record));
        now_ = phase::ended;
    }
    close_unused();
}

void process_state::understand(const end_record& record,
                               std::span<const std::byte> failure) noexcept {
    end_ = process_status(std::string(), record.code, std::nullopt);
    try {
        std::optional<exception_record> failed;
        if (!failure.empty() && failure.size() == record.record_bytes) {
            parcel_reader reader(failure);
            failed = exception_record::unpack_from(reader);
        }
        end_ = process_status(name, record.code, std::move(failed));
    } catch (...) {  // no memory for words: its exit code has to do
    }
}

void process_state::close_unused() noexcept {
    if (now_ == phase::running || waiters_ != 0) return;
    status_.reset();
    if (now_ == phase::ended) pidfd_.reset();
}

std::optional<lariat::result<process_status>> process_state::outcome() {
    const std::lock_guard held(mutex_);
    read_end();
    if (now_ == phase::running) return std::nullopt;
    joined_ = true;
    if (now_ == phase::lost) return lariat::result<process_status>(system_code(-ECHILD));
    return lariat::result<process_status>(end_);
}

bool process_state::is_over() noexcept {
    const std::lock_guard held(mutex_);
    read_end();
    return now_ != phase::running;
}

int process_state::begin_wait() noexcept {
    const std::lock_guard held(mutex_);
    read_end();
    if (now_ != phase::running) return -1;
    ++waiters_;
    return status_.get();
}

void process_state::end_wait() noexcept {
    const std::lock_guard held(mutex_);
    --waiters_;
    close_unused();
}

bool process_state::wait_blocking(time_point until) noexcept {
    const int socket = begin_wait();
    if (socket < 0) return true;
    pollfd asked{socket, POLLIN, 0};
    int ready = 0;
    do {
        ready = ::poll(&asked, 1, poll_timeout(until));
    } while (ready < 0 ? errno == EINTR : ready == 0 && (until == forever || clock::now() < until));
    end_wait();
    return ready > 0;
}

int process_state::signal(int number) noexcept {
    const std::lock_guard held(mutex_);
    if (!pidfd_) return ESRCH;
    return ::syscall(SYS_pidfd_send_signal, pidfd_.get(), number, nullptr, 0) < 0 ? errno : 0;
}

void process_state::abandon() noexcept {
    if (family::current() == nullptr) return;  // a forked copy: the process is not its
    if (is_over()) return report_unjoined();
    if (this_scheduler != nullptr) {
        watch();
    } else {
        end_by_waiting();
    }
}

void process_state::end_by_waiting() noexcept {
    const bool obeys = grace > duration::zero() && signal(SIGTERM) == 0 &&
                       wait_blocking(saturating_add(clock::now(), grace));
    if (!obeys) {
        const int refused = signal(SIGKILL);
        if (refused != 0 && refused != ESRCH) return report("cannot be killed, and is left alone");
        (void)wait_blocking(forever);
    }
    if (is_over()) report_unjoined();
}

void process_state::watch() noexcept {
    add_ref();
    attach();
    hold_loop();
    op::code = op_code::poll;
    op::fd = status_.get();
    op::argument = POLLIN;
    op::complete = &process_state::noticed;
    {
        const std::lock_guard held(mutex_);
        ++waiters_;
    }
    const bool over = io_object::submit(*this);
    if (over) return noticed(*this);
    ask_to_end();
}

void process_state::noticed(op& done) noexcept {
    auto& self = static_cast<process_state&>(done);
    const bool left = self.op::result == -ECANCELED;
    // Unwatched, it is made to end at least.
    if (!self.is_over()) (void)self.signal(SIGKILL);
    self.home->timers.disarm(self);
    if (left) {
        self.report("cannot be killed, and is left alone");
    } else {
        self.report_unjoined();
    }
    self.end_wait();
    self.release_loop();
    self.detach();
    self.drop_ref();
}

void process_state::ask_to_end() noexcept {
    if (grace <= duration::zero()) return make_end();
    if (const int refused = signal(SIGTERM); refused != 0 && refused != ESRCH) return make_end();
    home->timers.arm(*this, saturating_add(home->now(), grace));
}

void process_state::grace_over(timer_entry& self) noexcept {
    static_cast<process_state&>(self).make_end();
}

void process_state::make_end() noexcept {
    const int refused = signal(SIGKILL);
    if (refused != 0 && refused != ESRCH) io_object::cancel(*this);
}

void process_state::loop_closes(io_object& self) noexcept {
    auto& state = static_cast<process_state&>(self);
    state.io_object::unlink();  // the list must come to its end; `home` is needed yet
    state.make_end();
}

void process_state::report_unjoined() noexcept {
    const auto failed = end_.exception();
    if (!failed || joined_) return;
    try {
        std::string what = "failed and nobody joined it: " + std::string(failed->type);
        if (!failed->text.empty()) what.append(": ").append(failed->text);
        report(what);
    } catch (...) {  // no memory to say it
    }
}

void process_state::report(const std::string& what) noexcept {
    try {
        const std::string all = name + " (pid " + std::to_string(pid) + ") " + what;
        if (scheduler* const here = this_scheduler; here != nullptr) {
            const auto error = std::make_exception_ptr(process_failed(all, end_.exit_code()));
            here->report(*here, nullptr, error, false);
        } else {
            std::fprintf(stderr, "lariat: %s\n", all.c_str());
        }
    } catch (...) {  // no memory to say it
    }
}

}  // namespace lariat::detail
