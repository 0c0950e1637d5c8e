// Connections opened and reset at random against a server in a process of its own, so that what is
// measured is the server's alone: every byte is accounted for, and its descriptors and memory are
// back to the start. A minute of it with LARIAT_TEST_LONG=1, else a short sample.
#include <lariat/net/serve.hpp>

#include "net_support.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace net_test;

namespace {

struct counts {
    std::uint64_t connections = 0;
    std::uint64_t received = 0;  ///< bytes
    std::uint64_t sent = 0;      ///< bytes that were given to the kernel, at most
    std::uint64_t wrong = 0;     ///< bytes that were not what stands there in the pattern
};

/// Every connection carries the pattern from its beginning, there and back. One half of them is
/// read by copying, the other in the kernel's buffers.
task<> echo_counted(tcp_stream client, counts& all) {
    const bool copies = all.connections++ % 2 == 0;
    std::string room(copies ? 3000 : 0, '\0');
    std::uint64_t at = 0;
    for (;;) {
        lent_bytes lent;
        std::size_t count = 0;
        const char* text = room.data();
        if (copies) {
            const auto got = co_await nothrow(client.read_some(room));
            if (got) count = *got;
        } else {
            auto got = co_await nothrow(client.receive());
            if (got) lent = std::move(*got);
            count = lent.size();
            text = reinterpret_cast<const char*>(lent.data());
        }
        if (count == 0) break;
        all.received += count;
        all.wrong += count - matching(at, text, count);
        at += count;
        const auto sent = co_await nothrow(client.write_all(lariat::bytes(text, count)));
        if (!sent) break;
        all.sent += count;
    }
}

/// Small enough that an answer of some size is still being written when it is reset.
constexpr std::size_t small_buffer_bytes = 4096;

task<> serve_counted(counts& all, int to_test) {
    listen_options small;
    small.streams.send_buffer_bytes = small_buffer_bytes;
    auto listener = tcp_listener::bind(loopback(), small);
    const std::uint16_t port = listener.local_endpoint().port();
    if (::write(to_test, &port, sizeof port) != sizeof port) ::_exit(2);
    auto handler = [&all](tcp_stream client) { return echo_counted(std::move(client), all); };
    serve_options options;
    options.stop_on = signals(SIGTERM);
    co_await serve(listener, handler, options);
}

[[noreturn]] void be_server(int to_test) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    try {
        run_options options;
        options.driver.lent_buffer_count = 4;  // so that a short time sees its peak of memory
        counts all;
        lariat::run(options, serve_counted(all, to_test));
        if (::write(to_test, &all, sizeof all) != sizeof all) ::_exit(2);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "the server failed: %s\n", error.what());
        ::_exit(1);
    }
    ::_exit(0);
}

class server_process {
 public:
    server_process() {
        std::array<int, 2> pipe{};
        REQUIRE(::pipe2(pipe.data(), O_CLOEXEC) == 0);
        from_server_.reset(pipe[0]);
        unique_fd to_test(pipe[1]);
        std::fflush(nullptr);
        pid_ = ::fork();
        REQUIRE(pid_ >= 0);
        if (pid_ == 0) be_server(to_test.get());
        to_test.reset();
        std::uint16_t port = 0;
        REQUIRE(::read(from_server_.get(), &port, sizeof port) == sizeof port);
        where_ = endpoint("127.0.0.1", port);
    }
    server_process(const server_process&) = delete;
    ~server_process() {
        if (pid_ <= 0) return;
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }

    [[nodiscard]] const endpoint& where() const noexcept { return where_; }

    [[nodiscard]] std::size_t descriptors() const {
        const std::filesystem::directory_iterator all("/proc/" + std::to_string(pid_) + "/fd");
        return static_cast<std::size_t>(std::distance(begin(all), end(all)));
    }
    [[nodiscard]] std::int64_t resident_bytes() const {
        std::ifstream statm("/proc/" + std::to_string(pid_) + "/statm");
        std::int64_t total = 0;
        std::int64_t resident = 0;
        statm >> total >> resident;  // in pages (proc(5))
        return resident * ::sysconf(_SC_PAGESIZE);
    }

    /// Ends it as an administrator would; what it had counted.
    counts stop() {
        REQUIRE(::kill(pid_, SIGTERM) == 0);
        counts all;
        REQUIRE(::read(from_server_.get(), &all, sizeof all) == sizeof all);
        int status = 0;
        REQUIRE(::waitpid(std::exchange(pid_, -1), &status, 0) > 0);
        CHECK(WIFEXITED(status));
        CHECK(WEXITSTATUS(status) == 0);
        return all;
    }

 private:
    pid_t pid_ = -1;
    unique_fd from_server_;
    endpoint where_;
};

enum class ending : std::uint8_t {
    well,                   // all was sent, shut down, and came back
    before_it_is_accepted,  // or shortly after
    in_a_message,
    while_it_answers,  // which it cannot do in one go: nobody reads, and the buffers are small
    after_shutdown,
    closed_with_bytes_unread,
    while_it_is_sent,  // by a write that waits, as nobody reads the answers
};
constexpr std::uint64_t endings = 7;

struct storm {
    explicit storm(const endpoint& to) : where(to) {}

    endpoint where;
    const std::string text = pattern(0, 2'000'000);  ///< what is sent is a part of it
    counts all;
    std::uint64_t ended_well = 0;  ///< bytes that went and came back, each of them
};

/// Reads some of the answer.
task<> read_a_part(storm& on, tcp_stream& from) {
    std::array<char, 700> room{};
    const std::size_t got = co_await from.read_some(room);
    on.all.received += got;
    on.all.wrong += got - matching(0, room.data(), got);
}

task<> read_to_the_end(storm& on, tcp_stream& from, std::size_t expected) {
    const std::string back = co_await read_all(from);
    on.all.received += back.size();
    on.all.wrong += std::max(expected, back.size()) - matching(0, back.data(), back.size());
    on.ended_well += back.size();
}

task<> reset_while_writing(storm& on, tcp_stream& stream, std::uint64_t after_turns) {
    on.all.sent += on.text.size();
    auto writing =
        spawn([](tcp_stream& to,
                 const std::string& data) -> task<> { (void)co_await nothrow(to.write_all(data)); },
              std::ref(stream), std::cref(on.text));
    co_await turns(static_cast<int>(after_turns));
    stream.abort();
    co_await writing;
}

task<> one_connection(storm& on, std::mt19937_64& draw) {
    const auto how = static_cast<ending>(draw() % endings);
    tcp_options options;
    if (how == ending::while_it_answers) options.receive_buffer_bytes = small_buffer_bytes;
    tcp_stream stream = co_await tcp_stream::connect(on.where, options);
    ++on.all.connections;
    const std::uint64_t some_turns = draw() % 3;
    if (how == ending::while_it_is_sent) {
        co_await reset_while_writing(on, stream, some_turns);
        co_return;
    }
    if (how != ending::before_it_is_accepted) {
        const bool large = how == ending::while_it_answers;
        const lariat::bytes data(on.text.data(), large ? 60'000 : draw() % 9000 + 1);
        on.all.sent += data.size();
        co_await stream.write_all(data);
        if (how == ending::well || how == ending::after_shutdown) stream.shutdown();
        if (how == ending::well) co_await read_to_the_end(on, stream, data.size());
        if (how == ending::while_it_answers || how == ending::closed_with_bytes_unread)
            co_await read_a_part(on, stream);
    }
    co_await turns(static_cast<int>(some_turns));
    if (how == ending::well || how == ending::closed_with_bytes_unread)
        stream.close();
    else
        stream.abort();
}

/// For so long, and until there were so many.
task<> blow(storm& on, duration length, std::uint64_t at_least, std::uint64_t seed) {
    const time_point until = loop::current().now() + length;
    const std::uint64_t enough = on.all.connections + at_least;
    auto client = [](storm& all, time_point end, std::uint64_t most, std::uint64_t own) -> task<> {
        std::mt19937_64 draw(own);
        while (all.all.connections < most || loop::current().now() < end)
            co_await one_connection(all, draw);
    };
    std::vector<join_handle<>> clients;
    for (std::uint64_t i = 0; i < 50; ++i)
        clients.push_back(spawn(client, std::ref(on), until, enough, seed * 100 + i));
    for (auto& each : clients) co_await each;
}

/// Asks until the server has let go of every connection; how many descriptors it then has. Whoever
/// has seen the end of an answer knows that its own is gone.
task<std::size_t> settled_descriptors(storm& on, const server_process& server,
                                      std::size_t expected) {
    for (int i = 0; i < 2000; ++i) {
        tcp_stream asking = co_await tcp_stream::connect(on.where);
        ++on.all.connections;
        on.all.sent += 1;
        co_await asking.write_all(lariat::bytes(on.text.data(), 1));
        asking.shutdown();
        co_await read_to_the_end(on, asking, 1);
        if (server.descriptors() == expected) break;
    }
    co_return server.descriptors();
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool memory_is_the_servers = false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool memory_is_the_servers = false;
#else
constexpr bool memory_is_the_servers = true;
#endif
#else
constexpr bool memory_is_the_servers = true;
#endif

/// What a connection may add for good, and what the server's memory moves by from storm to storm.
constexpr std::int64_t leaked_bytes_at_most = 16;
constexpr std::int64_t play_bytes = 128 * 1024;

}  // namespace

TEST_CASE("storm: opened and reset at random, every byte is accounted for, and nothing stays") {
    server_process server;
    storm on(server.where());
    const bool is_long = lariat::test::long_tests();
    on_loop([&]() -> task<> {
        co_await settled_descriptors(on, server, server.descriptors());
        const std::size_t at_the_start = server.descriptors();
        co_await blow(on, is_long ? 15s : 0s, 1000, 1);
        const std::size_t after_warming = co_await settled_descriptors(on, server, at_the_start);
        CHECK(after_warming == at_the_start);

        const std::int64_t before = server.resident_bytes();
        const std::uint64_t so_many = on.all.connections;
        co_await blow(on, is_long ? 60s : 0s, is_long ? 10'000 : 1000, 2);
        const std::size_t after = co_await settled_descriptors(on, server, at_the_start);
        CHECK(after == at_the_start);
        const std::int64_t grown = server.resident_bytes() - before;
        const auto connections = static_cast<std::int64_t>(on.all.connections - so_many);
        INFO("the server's memory grew by ", grown, " bytes in ", connections, " connections");
        if (is_long && memory_is_the_servers)
            CHECK(grown < leaked_bytes_at_most * connections + play_bytes);
    });
    const counts told = server.stop();
    CHECK(on.all.wrong == 0);
    CHECK(told.wrong == 0);
    CHECK(told.connections <= on.all.connections);
    CHECK(told.connections > on.all.connections / 2);  // some were gone before they were accepted
    CHECK(told.received >= on.ended_well);
    CHECK(told.received <= on.all.sent);
    CHECK(on.all.received <= told.received);
}
