// How a family begins: its memory, and a fork server that shares nothing else with this process
// than what both were before.

#include <lariat/process/family.hpp>
#include <lariat/task/scheduler.hpp>

#include "base/signals_blocked.hpp"
#include "loop/first_loop.hpp"
#include "process/arena_memory.hpp"
#include "process/family.hpp"
#include "process/fork_server.hpp"
#include "process/fresh_process.hpp"
#include "process/open_descriptors.hpp"
#include "process/slots.hpp"

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace lariat {

namespace detail {

namespace {

#ifndef __has_feature
#define __has_feature(feature) 0
#endif
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
constexpr std::size_t threads_of_sanitizer = 1;
#else
constexpr std::size_t threads_of_sanitizer = 0;
#endif

/// A folder's links are its own two and one for each folder in it (proc(5): one a thread). 0 where
/// there is no /proc: then nobody knows.
std::size_t other_threads() noexcept {
    struct stat tasks{};
    if (::stat("/proc/self/task", &tasks) != 0 || tasks.st_nlink < 3) return 0;
    const std::size_t all = tasks.st_nlink - 2;
    return all - 1 > threads_of_sanitizer ? all - 1 - threads_of_sanitizer : 0;
}

// Address space, of which pages are taken as they are used.
constexpr std::size_t arena_bytes = std::size_t{64} << 30U;

constexpr const char* right_line =
    "\n  right: lariat::start_fork_server() first in main(), before any thread or loop";

void require_to_be_alone() {
    if (const std::size_t others = other_threads(); others != 0)
        throw std::logic_error(
            "lariat: the fork server cannot start any more: " + std::to_string(others) +
            (others == 1 ? " other thread runs" : " other threads run") +
            " in this process, and what it forked now would inherit their locks." + right_line);
    if (this_scheduler != nullptr)
        throw std::logic_error(
            std::string("lariat: the fork server cannot start any more: a loop runs here already, "
                        "and what it forked now would inherit its ring.") +
            right_line);
}

void reset_signals() noexcept {
    constexpr int highest = 64;
    struct sigaction plain{};
    plain.sa_handler = SIG_DFL;
    for (int number = 1; number <= highest; ++number) (void)::sigaction(number, &plain, nullptr);
}

[[noreturn]] void be_fork_server(server_orders& orders) noexcept {
    (void)::prctl(PR_SET_NAME, "lariat-forks");
    reset_signals();
    std::array<int, 2> kept{orders.channel.get(), arena_descriptor()};
    close_all_but(kept);
    rlimit more = orders.descriptors;
    more.rlim_cur = more.rlim_max;
    (void)::setrlimit(RLIMIT_NOFILE, &more);
    serve_family(std::move(orders));
}

/// A copy of this process. No exit signal: a child that plain wait(2) calls do not see (__WCLONE),
/// and that sends no SIGCHLD, so a program that waits for any child of its own goes on as before.
/// The C library does not learn of it; that is what its own fork is for in the fork server.
pid_t make_copy() noexcept { return static_cast<pid_t>(::syscall(SYS_clone, 0, 0, 0, 0, 0)); }

}  // namespace

void family::begin() {
    follow_fresh_orders();
    if (the_one.load(std::memory_order_acquire) != nullptr)
        return (void)required("lariat::start_fork_server");
    require_to_be_alone();
    if (const int error = occupy_closed_streams())
        throw std::system_error(error, std::system_category(),
                                "taking the place of a standard stream that is closed (/dev/null)");
    std::unique_ptr<family> made(new family);
    made->modules_ = loaded_modules();
    server_orders orders;
    if (const int error = make_channel(made->channel_, orders.channel))
        throw std::system_error(error, std::system_category(), "the fork server's channel");
    if (::getrlimit(RLIMIT_NOFILE, &orders.descriptors) != 0)
        throw std::system_error(errno, std::system_category(), "the limit of descriptors");
    if (std::atexit([] {
            if (family* const known = family::current()) known->leave();
        }) != 0)
        throw std::bad_alloc();
    create_arena(arena_bytes);
    const owner_id own = open_slot();
    set_pid(own, ::getpid());
    enter_slot(own);
    std::cout.flush();
    std::clog.flush();
    std::fflush(nullptr);
    orders.root = ::getpid();
    int error = 0;
    {
        const signals_blocked quiet;
        made->server_ = make_copy();
        if (made->server_ < 0) error = errno;
        if (made->server_ == 0) {
            the_one.store(made.release(), std::memory_order_release);
            be_fork_server(orders);
        }
    }
    if (error != 0)
        throw std::system_error(error, std::system_category(), "making the fork server");
    the_one.store(made.release(), std::memory_order_release);
}

void family::try_to_begin() noexcept {
    try {
        begin();
    } catch (...) {
        why_there_is_none() = std::current_exception();
    }
}

bool start_fork_server_with_first_loop() noexcept {
    before_first_loop.store(&family::try_to_begin, std::memory_order_relaxed);
    take_fresh_orders();
    return true;
}

}  // namespace detail

void start_fork_server() { detail::family::begin(); }

namespace this_process {

std::string name() {
    const detail::family* const known = detail::family::current();
    return known == nullptr ? "main" : known->who().name;
}

bool is_child() noexcept {
    const detail::family* const known = detail::family::current();
    return known != nullptr && known->who().child;
}

bool is_daemon() noexcept {
    const detail::family* const known = detail::family::current();
    return known != nullptr && known->who().daemon;
}

int parent_pid() noexcept {
    const detail::family* const known = detail::family::current();
    return known != nullptr && known->who().child ? known->who().parent : ::getppid();
}

}  // namespace this_process

}  // namespace lariat
