// Core paths, to be counted: guard_paths PATH OPERATIONS does so many of one and nothing else.
// guard_paths --list names the paths, --build the compiler and the C library.
#include <lariat/lariat.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include <gnu/libc-version.h>

namespace {

using namespace std::chrono_literals;

/// Makes the compiler believe that `value` is read.
template <class T>
void keep(const T& value) {
    asm volatile("" : : "g"(&value) : "memory");
}

[[gnu::noinline]] lariat::task<std::size_t> child(std::size_t value) {
    [[maybe_unused]] const int has_a_local = 0;
    co_return value + 1;
}
lariat::task<> yield_once() { co_await lariat::yield_now(); }

lariat::task<> await_child(std::size_t times) {
    std::size_t sum = 0;
    for (std::size_t i = 0; i < times; ++i) sum = co_await child(sum);
    keep(sum);
}

lariat::task<> yield(std::size_t times) {
    for (std::size_t i = 0; i < times; ++i) co_await lariat::yield_now();
}

lariat::task<> spawn_and_join(std::size_t times) {
    for (std::size_t i = 0; i < times; ++i) {
        auto handle = lariat::spawn(yield_once());
        co_await std::move(handle);
    }
}

lariat::task<> gather_three(std::size_t times) {
    for (std::size_t i = 0; i < times; ++i) {
        auto all = lariat::gather(yield_once(), yield_once(), yield_once());
        co_await std::move(all);
    }
}

lariat::task<> within_a_timeout(std::size_t times) {
    for (std::size_t i = 0; i < times; ++i) {
        auto limited = lariat::timeout(1h, lariat::yield_now());
        co_await std::move(limited);
    }
}

lariat::task<> lock_and_unlock(std::size_t times) {
    lariat::mutex lock;
    for (std::size_t i = 0; i < times; ++i) {
        auto guard = co_await lock.lock();
        keep(lock);
    }
}

lariat::task<> answer(lariat::event& ping, lariat::event& pong, std::size_t times) {
    for (std::size_t i = 0; i < times; ++i) {
        co_await ping.wait();
        ping.clear();
        pong.set();
    }
}
lariat::task<> ask(lariat::event& ping, lariat::event& pong, std::size_t times) {
    for (std::size_t i = 0; i < times; ++i) {
        ping.set();
        co_await pong.wait();
        pong.clear();
    }
}
lariat::task<> ping_pong(std::size_t times) {
    lariat::event ping;
    lariat::event pong;
    auto both = lariat::gather(ask(ping, pong, times), answer(ping, pong, times));
    co_await std::move(both);
}

lariat::task<> put_all(lariat::queue<std::size_t>& way, std::size_t times) {
    for (std::size_t i = 0; i < times; ++i) co_await way.put(i);
}
lariat::task<> get_all(lariat::queue<std::size_t>& way, std::size_t times) {
    for (std::size_t i = 0; i < times; ++i) {
        auto item = co_await way.get();
        keep(item);
    }
}
lariat::task<> through_a_queue(std::size_t times) {
    lariat::queue<std::size_t> way(16);
    auto both = lariat::gather(put_all(way, times), get_all(way, times));
    co_await std::move(both);
}

[[gnu::noinline]] lariat::generator<std::size_t> count_to(std::size_t end) {
    for (std::size_t i = 0; i < end; ++i) co_yield i;
}
lariat::task<> generate(std::size_t times) {
    for (const std::size_t item : count_to(times)) keep(item);
    co_return;
}

lariat::task<> echo(lariat::tcp_stream client) {
    for (;;) {
        const lariat::lent_bytes chunk = co_await client.receive();
        if (chunk.empty()) break;
        co_await client.write_all(chunk);
    }
}
lariat::task<> echo_there_and_back(std::size_t times) {
    auto listener = lariat::tcp_listener::bind(lariat::endpoint("127.0.0.1", 0));
    auto connecting = lariat::tcp_stream::connect(listener.local_endpoint());
    auto client = co_await std::move(connecting);
    auto accepting = listener.accept();
    auto accepted = co_await std::move(accepting);
    auto serving = lariat::spawn(echo(std::move(accepted)));
    std::array<std::byte, 64> text{};
    for (std::size_t i = 0; i < times; ++i) {
        co_await client.write_all(text);
        std::size_t back = 0;
        while (back < text.size()) {
            const lariat::lent_bytes chunk = co_await client.receive();
            if (chunk.empty()) throw std::runtime_error("the echo has ended");
            back += chunk.size();
        }
    }
    client.close();
    co_await std::move(serving);
}

struct path {
    const char* name;
    lariat::task<> (*run)(std::size_t times);
};
constexpr std::array<path, 10> paths{{
    {"await", await_child},
    {"yield", yield},
    {"spawn and join", spawn_and_join},
    {"gather of three", gather_three},
    {"timeout", within_a_timeout},
    {"mutex", lock_and_unlock},
    {"event ping-pong", ping_pong},
    {"queue", through_a_queue},
    {"generator", generate},
    {"echo", echo_there_and_back},
}};

int usage() {
    std::fputs("usage: guard_paths PATH OPERATIONS | --list | --build\n", stderr);
    return 2;
}

void print_build() {
#if defined(__clang__)
    std::printf("clang %d.%d.%d", __clang_major__, __clang_minor__, __clang_patchlevel__);
#else
    std::printf("gcc %d.%d.%d", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
#endif
    std::printf(", glibc %s\n", gnu_get_libc_version());
}

}  // namespace

int main(int argc, char** argv) {
    const std::span<char*> words(argv, static_cast<std::size_t>(argc));
    const std::string_view first = words.size() > 1 ? words[1] : "";
    if (first == "--build") {
        print_build();
        return 0;
    }
    if (first == "--list") {
        for (const path& each : paths) std::puts(each.name);
        return 0;
    }
    if (words.size() != 3) return usage();
    try {
        for (const path& each : paths) {
            if (each.name != first) continue;
            lariat::run(each.run(std::stoul(words[2])));
            return 0;
        }
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "guard_paths: %s\n", failure.what());
        return 1;
    }
    return usage();
}
