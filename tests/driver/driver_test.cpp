// Which driver is chosen, who may say so, and what is told when the kernel refuses.
#include "driver/driver.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>

#include <doctest/doctest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

using lariat::backend;
using lariat::driver_options;
using lariat::detail::driver;

namespace {

class environment {
 public:
    explicit environment(const char* value) {
        if (const char* old = std::getenv(name)) before_ = old;
        if (value != nullptr)
            ::setenv(name, value, 1);
        else
            ::unsetenv(name);
    }
    ~environment() {
        if (before_)
            ::setenv(name, before_->c_str(), 1);
        else
            ::unsetenv(name);
    }
    environment(const environment&) = delete;
    environment& operator=(const environment&) = delete;

 private:
    static constexpr const char* name = "LARIAT_BACKEND";
    std::optional<std::string> before_;
};

driver_options options_for(backend wanted) {
    driver_options options;
    options.backend = wanted;
    return options;
}

/// From here on every io_uring call of this process ends as `action` says (seccomp(2)).
void forbid_io_uring(std::uint32_t action) {
    constexpr std::uint32_t at = offsetof(seccomp_data, nr);
    std::array filter{
        sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at),
        sock_filter BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, SYS_io_uring_setup, 0, 2),
        sock_filter BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, SYS_io_uring_register, 1, 0),
        sock_filter BPF_STMT(BPF_RET | BPF_K, action),
        sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        ::_exit(99);
}

struct child_end {
    int status;
    std::string said;  ///< on standard error
};
template <class Body>
child_end in_child(Body body) {
    std::array<int, 2> ends{};
    if (::pipe(ends.data()) != 0) std::abort();
    const pid_t child = ::fork();
    if (child == 0) {
        ::dup2(ends[1], STDERR_FILENO);
        for (const int each : {SIGABRT, SIGSYS}) ::signal(each, SIG_DFL);
        ::_exit(body());
    }
    ::close(ends[1]);
    child_end end{};
    std::array<char, 256> chunk{};
    ssize_t got = 0;
    while ((got = ::read(ends[0], chunk.data(), chunk.size())) > 0)
        end.said.append(chunk.data(), static_cast<std::size_t>(got));
    ::close(ends[0]);
    ::waitpid(child, &end.status, 0);
    return end;
}
bool exited_well(const child_end& end) {
    return WIFEXITED(end.status) && WEXITSTATUS(end.status) == 0;
}

/// One operation through `chosen`, by whatever way it completes.
bool works(driver& chosen) {
    static bool done;
    done = false;
    lariat::op nop;
    nop.complete = [](lariat::op&) noexcept { done = true; };
    if (chosen.submit(nop)) return nop.result == 0;
    while (!done) chosen.poll(lariat::forever);
    return nop.result == 0 && chosen.stats().in_flight == 0;
}

}  // namespace

TEST_CASE("driver: a backend asked for by name is the one that comes") {
    const environment says("uring");  // and is not listened to
    for (const backend wanted : {backend::epoll, backend::sim}) {
        driver chosen(options_for(wanted));
        CHECK(chosen.chosen() == wanted);
        CHECK(chosen.stats().backend == wanted);
        CHECK((chosen.sim() != nullptr) == (wanted == backend::sim));
        CHECK(chosen.reason().empty());
        CHECK(works(chosen));
    }
}

TEST_CASE("driver: LARIAT_BACKEND decides where nobody asked") {
    const environment says("epoll");
    driver chosen(options_for(backend::automatic));
    CHECK(chosen.chosen() == backend::epoll);
    CHECK(chosen.reason().empty());
    CHECK(works(chosen));
}

TEST_CASE("driver: a LARIAT_BACKEND that names none is refused with the names there are") {
    const environment says("iouring");
    try {
        driver chosen(options_for(backend::automatic));
        FAIL("accepted");
    } catch (const std::invalid_argument& refusal) {
        const std::string words = refusal.what();
        for (const char* part : {"LARIAT_BACKEND", "iouring", "auto", "uring", "epoll"})
            CHECK(words.find(part) != std::string::npos);
    }
}

TEST_CASE("driver: where io_uring is refused, auto says once why and goes on with epoll") {
    for (const char* value : {static_cast<const char*>(nullptr), "", "auto"}) {
        const child_end end = in_child([&] {
            const environment says(value);
            forbid_io_uring(SECCOMP_RET_ERRNO | EPERM);
            driver first(options_for(backend::automatic));
            driver second(options_for(backend::automatic));
            const bool told =
                first.reason() == second.reason() &&
                (first.reason().find("not permitted") != std::string::npos || !LARIAT_HAS_URING);
            return first.chosen() == backend::epoll && told && works(first) && works(second) ? 0
                                                                                             : 1;
        });
        CHECK(exited_well(end));
        CHECK(end.said.find("lariat: io_uring is refused (") == 0);
        CHECK(end.said.find("): using epoll\n") == end.said.size() - 15);
        CHECK(std::count(end.said.begin(), end.said.end(), '\n') == 1);
    }
}

TEST_CASE("driver: io_uring asked for by name and refused is an error") {
    for (const char* value : {static_cast<const char*>(nullptr), "uring"}) {
        const child_end end = in_child([&] {
            const environment says(value);
            forbid_io_uring(SECCOMP_RET_ERRNO | EPERM);
            try {
                driver chosen(options_for(value == nullptr ? backend::uring : backend::automatic));
            } catch (const std::system_error& refusal) {
                return refusal.code().value() == (LARIAT_HAS_URING ? EPERM : ENOSYS) ? 0 : 1;
            }
            return 2;
        });
        CHECK(exited_well(end));
        CHECK(end.said.empty());
    }
}

TEST_CASE("driver: with epoll no io_uring call is made, not even to ask") {
    const child_end end = in_child([] {
        const environment says("epoll");
        forbid_io_uring(SECCOMP_RET_KILL_PROCESS);
        driver chosen(options_for(backend::automatic));
        return works(chosen) ? 0 : 1;
    });
    CHECK(exited_well(end));
    CHECK(end.said.empty());
}

TEST_CASE("driver: io_uring is what auto chooses where the kernel grants it") {
    const environment says(nullptr);
    try {
        driver(options_for(backend::uring));
    } catch (const std::system_error&) {
        return;  // not here: the refusal has its tests above
    }
    driver chosen(options_for(backend::automatic));
    CHECK(chosen.chosen() == backend::uring);
    CHECK(chosen.reason().empty());
    CHECK(works(chosen));
}
