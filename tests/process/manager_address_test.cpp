// Managers that are reached by an address: who gets in, and what comes in.
#include <lariat/process/manager.hpp>

#include "manager_support.hpp"
#include "process/frame_input.hpp"
#include "process/manager_socket.hpp"
#include "program.hpp"
#include "scratch.hpp"

#include <lariat/loop/io.hpp>
#include <lariat/process/shm/value.hpp>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <sys/socket.h>

namespace lariat::test {

/// Knows how many there are.
class counted_object {
 public:
    counted_object() noexcept { ++all_; }
    counted_object(const counted_object&) = delete;
    counted_object& operator=(const counted_object&) = delete;
    ~counted_object() { --all_; }
    [[nodiscard]] int living() const noexcept { return all_; }

 private:
    static inline int all_ = 0;
};

}  // namespace lariat::test

namespace {

using namespace lariat;
using namespace lariat::test;

using stock = managed_dict<std::string, int>;

manager_options at_any_port() { return {manager_address(endpoint("127.0.0.1", 0)), "open sesame"}; }
manager_options at_path(const std::filesystem::path& where) {
    return {manager_address(where), "open sesame"};
}

/// The other end has closed it.
task<bool> was_closed(int socket) {
    std::array<std::byte, 256> room{};
    for (;;) {
        const auto got = ::recv(socket, room.data(), room.size(), MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN)) co_return true;
        readiness_awaiter more = wait_readable(socket);
        co_await std::move(more);
    }
}

void send_bytes(int socket, std::span<const std::byte> all) {
    CHECK(::send(socket, all.data(), all.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(all.size()));
}

TEST_CASE_FIXTURE(manager_check, "manager address: TCP and a path, with a key") {
    const scratch folder;
    for (const bool tcp : {true, false}) {
        const manager_options options = tcp ? at_any_port() : at_path(folder.path("manager"));
        with_manager(options, [](manager& m) -> task<> {
            auto mine = co_await m.make_named<stock>("stock");
            manager far = co_await manager::connect(*m.address(), "open sesame");
            auto theirs = co_await far.get<stock>("stock");
            co_await theirs.set("pear", 3);
            const std::optional<int> pears = co_await mine.get("pear");
            CHECK(pears == 3);
            auto queue = co_await far.make<managed_queue<int>>();
            CHECK_THROWS_AS((void)co_await timeout(2ms, queue.get()), timeout_error);
            CHECK_THROWS_AS((void)co_await far.get<managed_list<int>>("stock"),
                            std::invalid_argument);
        });
    }
    CHECK(!std::filesystem::exists(folder.path("manager")));
}

TEST_CASE_FIXTURE(manager_check, "manager address: proxies that go on another thread") {
    with_manager(at_any_port(), [](manager& m) -> task<> {
        auto mine = co_await m.make<proxy<counted_object>>();
        const auto come_to = [&](int number) -> task<bool> {
            const time_point end = clock::now() + 10s;
            int now = 0;
            while (now != number && clock::now() < end)
                now = co_await mine.call<&counted_object::living>();
            co_return now == number;
        };
        manager far = co_await manager::connect(*m.address(), "open sesame");
        std::optional<proxy<counted_object>> one = co_await far.make<proxy<counted_object>>();
        std::optional<proxy<counted_object>> two = co_await far.make<proxy<counted_object>>();
        bool right = co_await come_to(3);
        CHECK(right);
        std::thread([&] { one.reset(); }).join();
        right = co_await come_to(2);
        CHECK(right);
        std::thread([&] {
            two.reset();
            far = manager();
        }).join();
        right = co_await come_to(1);
        CHECK(right);
    });
}

TEST_CASE_FIXTURE(manager_check, "manager address: a wrong key, or none") {
    with_manager(at_any_port(), [](manager& m) -> task<> {
        CHECK_THROWS_AS((void)co_await manager::connect(*m.address(), "open barley"),
                        authentication_error);
        CHECK_THROWS_AS((void)co_await manager::connect(*m.address(), ""), std::invalid_argument);
        manager far = co_await manager::connect(*m.address(), "open sesame");
        auto flag = co_await far.make<managed_event>();
        co_await flag.set();
    });
    CHECK_THROWS_AS((void)manager::start(manager_options(manager_address(endpoint()), "")),
                    std::invalid_argument);
}

TEST_CASE_FIXTURE(manager_check, "manager address: junk from a stranger") {
    with_manager(at_any_port(), [](manager& m) -> task<> {
        auto connecting = detail::connect_to(*m.address());
        unique_fd socket = co_await std::move(connecting);
        std::array<std::byte, 4096> junk{};
        junk.fill(std::byte{0x5a});
        send_bytes(socket.get(), junk);
        const bool closed = co_await was_closed(socket.get());
        CHECK(closed);
        manager far = co_await manager::connect(*m.address(), "open sesame");
        auto flag = co_await far.make<managed_event>();
        co_await flag.set();
    });
}

TEST_CASE_FIXTURE(manager_check, "manager address: a stranger who says nothing is sent away") {
    manager_options options = at_any_port();
    options.handshake_time = 20ms;
    with_manager(options, [](manager& m) -> task<> {
        auto connecting = detail::connect_to(*m.address());
        unique_fd socket = co_await std::move(connecting);
        const bool closed = co_await was_closed(socket.get());
        CHECK(closed);
    });
}

TEST_CASE_FIXTURE(manager_check, "manager address: junk from one who has the key") {
    manager_options options = at_any_port();
    options.max_message = 10'000;
    with_manager(options, [](manager& m) -> task<> {
        auto dict = co_await m.make<stock>();
        const auto header = [](std::uint64_t bytes, std::uint32_t descriptors,
                               std::uint32_t references) {
            detail::frame_header made;
            made.bytes = bytes;
            made.descriptors = descriptors;
            made.references = references;
            return made;
        };
        std::vector<detail::frame_header> all;
        all.push_back(header(0, 0, 0));
        all.push_back(header(7, 0, 0));
        all.push_back(header(10'001, 0, 0));
        all.push_back(header(~std::uint64_t{0}, 0, 0));
        all.push_back(header(32, 1, 0));
        all.push_back(header(32, 0, 1));
        all.push_back(header(32, 0, 1U << 27));
        all.push_back(header(32, 0, 0));  // of an operation that there is not
        for (const detail::frame_header& each : all) {
            auto connecting = detail::connect_to(*m.address());
            unique_fd socket = co_await std::move(connecting);
            auto proving = detail::prove_as_user(socket.get(), "open sesame");
            co_await std::move(proving);
            std::array<std::byte, sizeof each + 64> message{};
            message.fill(std::byte{0xff});
            std::memcpy(message.data(), &each, sizeof each);
            send_bytes(socket.get(), message);
            const bool closed = co_await was_closed(socket.get());
            CHECK(closed);
        }
        co_await dict.set("pear", 3);
    });
}

TEST_CASE_FIXTURE(manager_check, "manager address: what belongs to a family stays there") {
    with_manager(at_any_port(), [](manager& m) -> task<> {
        manager far = co_await manager::connect(*m.address(), "open sesame");
        auto values = co_await far.make<managed_dict<int, shm::value<int>>>();
        shm::value<int> value(5);
        CHECK_THROWS_AS(co_await values.set(1, value), std::invalid_argument);
        CHECK_THROWS_AS((void)detail::pack(values), std::logic_error);
        auto mine = co_await m.make_named<managed_dict<int, shm::value<int>>>("values");
        co_await mine.set(1, value);
        auto theirs = co_await far.get<managed_dict<int, shm::value<int>>>("values");
        CHECK_THROWS_AS((void)co_await theirs.get(1), std::logic_error);
        co_await mine.clear();
    });
}

TEST_CASE_FIXTURE(manager_check, "manager address: a lock is given back when its connection ends") {
    with_manager(at_any_port(), [](manager& m) -> task<> {
        auto lock = co_await m.make_named<managed_mutex>("lock");
        {
            manager far = co_await manager::connect(*m.address(), "open sesame");
            auto theirs = co_await far.get<managed_mutex>("lock");
            auto guard = co_await theirs.lock();
            auto mine = co_await lock.try_lock();
            CHECK(!mine);
        }
        auto guard = co_await lock.lock();
        CHECK(guard);
    });
}

const role uses_manager("uses manager", [] {
    run([]() -> task<> {
        const std::filesystem::path where(std::getenv("LARIAT_TEST_MANAGER"));
        manager m = co_await manager::connect(where, "open sesame");
        auto dict = co_await m.get<stock>("stock");
        co_await dict.set("plum", 7);
        std::string words = "known";
        try {
            (void)co_await m.make<managed_list<std::array<long, 3>>>();
        } catch (const std::logic_error&) {
            words = "unknown";
        }
        say(words);
    }());
    return 0;
});

TEST_CASE_FIXTURE(manager_check, "manager address: another program") {
    const scratch folder;
    const std::string path = folder.path("manager");
    with_manager(at_path(path), [path](manager& m) -> task<> {
        auto dict = co_await m.make_named<stock>("stock");
        ::setenv("LARIAT_TEST_MANAGER", path.c_str(), 1);
        program other("uses manager");
        CHECK(other.line() == "known");
        CHECK(other.end() == 0);
        const std::optional<int> plums = co_await dict.get("plum");
        CHECK(plums == 7);
    });
}

TEST_CASE_FIXTURE(manager_check, "manager address: a killed manager's path is taken over") {
    const scratch folder;
    const std::filesystem::path path = folder.path("manager");
    run([](std::filesystem::path where) -> task<> {
        manager m = manager::start(at_path(where));
        auto flag = co_await m.make<managed_event>();
        ::kill(m.pid(), SIGKILL);
        CHECK_THROWS_AS(co_await flag.wait(), manager_died);
    }(path));
    CHECK(std::filesystem::exists(path));
    run([](std::filesystem::path where) -> task<> {
        // The kernel may take longer than the library's patience to take apart what a killed one
        // had, if it stands still itself.
        std::optional<manager> m;
        for (int tries = 0; tries < 20 && !m; ++tries) {
            try {
                m = manager::start(at_path(where));
            } catch (const std::system_error& error) {
                CHECK(error.code().value() == EADDRINUSE);
            }
        }
        REQUIRE(m);
        CHECK_THROWS_AS((void)manager::start(at_path(where)), std::system_error);
        auto flag = co_await m->make<managed_event>();
        co_await flag.set();
        co_await m->shutdown();
    }(path));
}

TEST_CASE_FIXTURE(manager_check, "manager address: a path that is no socket's is left alone") {
    const scratch folder;
    const std::string precious = folder.path("precious");
    std::ofstream(precious) << "precious";
    try {
        const manager made = manager::start(at_path(precious));
        FAIL_CHECK("it listens at a file");
    } catch (const std::system_error& error) {
        CHECK(error.code().value() == EEXIST);
        CHECK(std::string(error.what()).find(precious) != std::string::npos);
    }
    CHECK(std::filesystem::file_size(precious) == 8);
}

TEST_CASE_FIXTURE(manager_check, "manager address: a path that is another's by now is left alone") {
    const scratch folder;
    const std::filesystem::path path = folder.path("manager");
    with_manager(at_path(path), [path](manager& m) -> task<> {
        CHECK(std::filesystem::remove(path));
        const manager another = manager::start(at_path(path));
        co_await m.shutdown();
        CHECK(std::filesystem::exists(path));
        co_await another.shutdown();
    });
    CHECK_FALSE(std::filesystem::exists(path));
}

const role brief_managers("managers-brief", [] {
    for (int i = 0; i < 20; ++i) with_manager(at_any_port(), [](manager&) -> task<> { co_return; });
    return 0;
});

TEST_CASE("manager address: its end is nobody's failure") {
    program it("managers-brief");
    CHECK(it.wait() == 0);
    CHECK(it.rest() == "");
}

TEST_CASE_FIXTURE(manager_check,
                  "manager address: one that was reached there died, without a pid") {
    run([]() -> task<> {
        manager m = manager::start(at_any_port());
        manager far = co_await manager::connect(*m.address(), "open sesame");
        ::kill(m.pid(), SIGKILL);
        std::string said;
        try {
            (void)co_await far.make<managed_event>();
        } catch (const manager_died& error) {
            said = error.what();
        }
        CHECK(said.find("the manager at 127.0.0.1:") == 0);
        CHECK(said.find("pid") == std::string::npos);
    }());
}

}  // namespace
