// Messages between two processes.
#include <lariat/lariat.hpp>
#include <lariat/process/pipe.hpp>
#include <lariat/process/process.hpp>

#include <array>
#include <cerrno>
#include <cstddef>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "benches.hpp"

namespace {

using bench::wall_watch;

constexpr std::size_t trips = 5'000;
constexpr std::size_t items = 100'000;
using letter = std::array<char, 32>;
using letter_end = lariat::pipe_end<letter>;

void require(bool good, const char* what) {
    if (!good) throw std::system_error(errno, std::generic_category(), what);
}

/// Where the two processes of a conversation are. A wake on the other core is what costs.
enum class where { two_cores, one_core };

[[nodiscard]] int core_of_other(where both) { return both == where::two_cores ? 1 : 0; }

template <class... Args>
lariat::process start_other(where both, Args&&... call) {
    lariat::process_options options;
    if (std::thread::hardware_concurrency() > 1)
        options.core = static_cast<unsigned>(core_of_other(both));
    return lariat::process::start(options, std::forward<Args>(call)...);
}

/// What any message between two processes pays: a blocking write and read on each side.
double socket_floor(where both) {
    const bench::pinned_while here(0);
    int ends[2];
    require(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0, "socketpair");
    const pid_t child = ::fork();
    require(child >= 0, "fork");
    letter room{};
    if (child == 0) {
        const bench::pinned_while there(core_of_other(both));
        ::close(ends[0]);
        while (::read(ends[1], room.data(), room.size()) == ssize_t{sizeof room})
            if (::write(ends[1], room.data(), room.size()) < 0) break;
        ::_exit(0);
    }
    ::close(ends[1]);
    const wall_watch watch;
    for (std::size_t i = 0; i < trips; ++i) {
        require(::write(ends[0], room.data(), room.size()) > 0, "write");
        require(::read(ends[0], room.data(), room.size()) > 0, "read");
    }
    const double each = watch.each(trips) / 1e3;
    ::close(ends[0]);
    ::waitpid(child, nullptr, 0);
    return each;
}

lariat::task<> echo(letter_end with) {
    for (;;) {
        std::optional<letter> got = co_await with.recv();
        if (!got) co_return;
        co_await with.send(*got);
    }
}

void echo_blocking(letter_end with) {
    while (std::optional<letter> got = with.recv_blocking()) with.send_blocking(*got);
}

lariat::task<double> round_trips(where both) {
    const bench::pinned_while here(0);
    lariat::pipe<letter> talk;
    lariat::process child = start_other(both, echo, std::move(talk.second));
    const letter asked{};
    co_await talk.first.send(asked);  // the child has started
    (void)co_await talk.first.recv();
    const wall_watch watch;
    for (std::size_t i = 0; i < trips; ++i) {
        co_await talk.first.send(asked);
        (void)co_await talk.first.recv();
    }
    const double each = watch.each(trips) / 1e3;
    talk.first.close();
    (void)co_await child.join();
    co_return each;
}

double round_trips_blocking(where both) {
    const bench::pinned_while here(0);
    lariat::pipe<letter> talk;
    lariat::process child = start_other(both, echo_blocking, std::move(talk.second));
    const letter asked{};
    talk.first.send_blocking(asked);
    (void)talk.first.recv_blocking();
    const wall_watch watch;
    for (std::size_t i = 0; i < trips; ++i) {
        talk.first.send_blocking(asked);
        (void)talk.first.recv_blocking();
    }
    const double each = watch.each(trips) / 1e3;
    talk.first.close();
    (void)child.join_blocking();
    return each;
}

lariat::task<> count_items(letter_end from) {
    std::size_t count = 0;
    while (count < items) {
        const std::optional<letter> got = co_await from.recv();
        if (!got) co_return;
        ++count;
    }
    const letter all{};
    co_await from.send(all);
}

lariat::task<double> stream_items() {
    lariat::pipe<letter> talk;
    lariat::process child = lariat::process::start(count_items, std::move(talk.second));
    const letter item{};
    const wall_watch watch;
    for (std::size_t i = 0; i < items; ++i) co_await talk.first.send(item);
    (void)co_await talk.first.recv();
    const double each = watch.each(items) / 1e3;
    (void)co_await child.join();
    co_return each;
}

}  // namespace

void bench::process_benches(suite& all) {
    for (const where both : {where::two_cores, where::one_core}) {
        const std::string cores = both == where::two_cores ? ", two cores" : ", one core";
        const std::string floor = "floor: socketpair round trip" + cores;
        all.add(floor, "us", 0, [both] { return socket_floor(both); });
        const double target = 1.1 * all.median_of(floor);
        all.add("pipe<T> round trip" + cores, "us", target,
                [both] { return lariat::run(round_trips(both)); });
        all.add("pipe<T> round trip by blocking verbs" + cores, "us", target,
                [both] { return round_trips_blocking(both); });
    }
    all.add("pipe<T> one way, an item", "us", 0, [] { return lariat::run(stream_items()); });
}
