// What runs in a process that the fork server has just made, until what it was made for runs.

#include "process/new_process.hpp"

#include <lariat/loop/loop.hpp>
#include <lariat/process/remote_error.hpp>

#include "offload/uninterrupted.hpp"
#include "process/arena_memory.hpp"
#include "process/open_descriptors.hpp"
#include "process/slots.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <string>
#include <system_error>
#include <utility>

#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace lariat::detail {

namespace {

void flush_streams() noexcept {
    try {
        std::cout.flush();
        std::clog.flush();
    } catch (...) {  // a stream that was told to throw; what it held is lost
    }
    std::fflush(nullptr);
}

/// Closes everything but the standard streams and what this process is given: the fork server's
/// other channels above all, which would keep those processes' ends from being noticed.
void close_the_rest(const birth& as) {
    std::vector<int> kept{as.channel.get(), as.body.get(), arena_descriptor()};
    for (const unique_fd& each : as.given.descriptors) kept.push_back(each.get());
    close_all_but(kept);
}

void read_body(birth& as) {
    struct stat about{};
    if (::fstat(as.body.get(), &about) != 0)
        throw std::system_error(errno, std::system_category(), "a process's arguments");
    auto at = static_cast<off_t>(as.references.size() * sizeof(std::uint64_t));
    as.given.bytes.resize(static_cast<std::size_t>(about.st_size - at));
    std::span<std::byte> room(as.given.bytes);
    while (!room.empty()) {
        const ssize_t got =
            uninterrupted([&] { return ::pread(as.body.get(), room.data(), room.size(), at); });
        if (got <= 0) throw std::system_error(EIO, std::system_category(), "a process's arguments");
        room = room.subspan(static_cast<std::size_t>(got));
        at += got;
    }
    as.body.reset();
}

void pin(const birth& as) {
    if (as.core < 0) return;
    cpu_set_t only;
    CPU_ZERO(&only);
    if (as.core < CPU_SETSIZE) CPU_SET(static_cast<unsigned>(as.core), &only);
    if (::sched_setaffinity(0, sizeof only, &only) == 0) return;
    throw std::system_error(errno, std::system_category(),
                            "pinning " + as.who.name + " to core " + std::to_string(as.core));
}

/// A daemon goes with the fork server as well, which would end it when its parent goes.
void bind_daemon(const birth& as) noexcept {
    if (!as.who.daemon) return;
    (void)::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (::getppid() != as.server) ::_exit(128 + SIGKILL);
}

void run_call(birth& as) {
    const call_entry& entry = *as.entry.get();
    if (entry.is_task) {
        (void)lariat::run(entry.begin(std::move(as.given)));
    } else {
        (void)entry.run(std::move(as.given));
    }
}

}  // namespace

void tell(const std::exception_ptr& thrown) noexcept {
    try {
        exception_record record = carry(thrown);
        const std::size_t besides = record.type.size() + record.category.size() + 64;
        if (besides > most_failure_bytes) record.type.resize(256);
        record.text.resize(
            std::min(record.text.size(), most_failure_bytes - std::min(besides, std::size_t{512})));
        parcel packed;
        parcel_writer to(packed);
        record.pack_into(to);
        if (family* const own = family::current()) own->tell_failure(packed.bytes);
    } catch (...) {  // no memory for words: its exit code says that it failed
    }
}

void end_child(int code) noexcept {
    flush_streams();
    ::_exit(code);
}

void name_thread(const birth& as) noexcept {
    constexpr std::size_t shown = 15;  // prctl(2)
    std::array<char, shown + 1> name{};
    as.who.name.copy(name.data(), shown);
    (void)::prctl(PR_SET_NAME, name.data());
}

// Not the first process's mask: what that waits for by other means would end nobody here.
void unblock_signals() noexcept {
    sigset_t none;
    ::sigemptyset(&none);
    (void)::sigprocmask(SIG_SETMASK, &none, nullptr);
}

void begin_life(birth& as) {
    bind_daemon(as);
    close_the_rest(as);
    enter_slot(as.owner);
    (void)::setrlimit(RLIMIT_NOFILE, as.limit);
    name_thread(as);
    family::enter(std::move(as.channel), as.who);
    unblock_signals();
}

void run_and_exit(birth& as) noexcept {
    int code = EXIT_SUCCESS;
    try {
        pin(as);
        if (as.body) read_body(as);
        for (const std::uint64_t id : as.references) as.given.references.emplace_back(id);
        run_call(as);
    } catch (...) {
        tell(std::current_exception());
        code = EXIT_FAILURE;
    }
    std::exit(code);
}

void live(birth& as) noexcept {
    // What std::exit runs first of all that is there now. What this process registers itself runs
    // before it, and what it inherited, which is the first process's, never.
    if (::on_exit([](int code, void*) { end_child(code); }, nullptr) != 0) end_child(EXIT_FAILURE);
    try {
        begin_life(as);
    } catch (...) {
        tell(std::current_exception());
        std::exit(EXIT_FAILURE);
    }
    run_and_exit(as);
}

}  // namespace lariat::detail
