// A file's end: closed while others read, by its handle's end, under cancellation; and faults.
#include <lariat/offload/file.hpp>

#include "file_support.hpp"
#include "scratch.hpp"

#include <lariat/task/cancel_scope.hpp>
#include <lariat/task/nothrow.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/timeout.hpp>

#include <cerrno>
#include <chrono>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using file_test::failure_of;
using file_test::rings;
using file_test::with_faults;
using lariat::detail::fault;
using lariat::detail::fault_plan;
using lariat::test::scratch;

constexpr open_mode new_file = open_mode::read_write | open_mode::create_new;
/// More than the kernel is asked for at once: it takes an entry of the ring, or a thread.
constexpr std::size_t large = 1 << 20;

task<file> filled(std::string name) {
    file made = co_await file::open(std::move(name), new_file);
    const std::string some(large, 'x');
    co_await made.write_all_at(0, some);
    co_return made;
}

task<std::size_t> read_large(file& from) {
    std::string room(large, '\0');
    const std::size_t got = co_await from.read_at(0, room);
    co_return got;
}

bool is_open(int descriptor) { return ::fcntl(descriptor, F_GETFD) != -1; }

TEST_CASE_FIXTURE(scratch, "file: closed, every verb says so, and a second close does nothing") {
    run([](std::string name) -> task<> {
        file made = co_await file::open(name, new_file);
        const int descriptor = made.descriptor();
        co_await made.close();
        CHECK_FALSE(is_open(descriptor));
        CHECK_FALSE(made.is_open());
        CHECK(made.descriptor() == -1);
        co_await made.close();
        std::string room(1, '\0');
        const auto read = co_await nothrow(made.read_at(0, room));
        const auto written = co_await nothrow(made.write_at(0, room));
        const auto appended = co_await nothrow(made.append(room));
        const auto status = co_await nothrow(made.status());
        const auto size = co_await nothrow(made.size());
        const auto synced = co_await nothrow(made.fsync());
        const auto cut = co_await nothrow(made.truncate(0));
        for (const std::error_code code :
             {read.error(), written.error(), appended.error(), status.error(), size.error(),
              synced.error(), cut.error()})
            CHECK(code == errc::closed);
        bool threw = false;
        try {
            (void)co_await made.read_at(0, room);
        } catch (const closed_error& error) {
            threw = true;
            CHECK(std::string(error.what()) == "cannot read \"" + name + "\": closed");
        }
        CHECK(threw);
        file never;
        const auto nowhere = co_await nothrow(never.read_at(0, room));
        CHECK(nowhere.error() == errc::closed);
        co_await never.close();
        CHECK_THROWS_AS(co_await never.read_exactly_at(0, room), closed_error);
        CHECK_THROWS_AS(co_await made.write_all_at(0, room), closed_error);
    }(path("file")));
}

TEST_CASE_FIXTURE(scratch, "file: a closed one is never another that got its number") {
    run([](std::string name) -> task<> {
        file first = co_await file::open(name + "1", new_file);
        const int number = first.descriptor();
        co_await first.close();
        file second = co_await file::open(name + "2", new_file);
        CHECK(second.descriptor() == number);
        const auto written = co_await nothrow(first.write_at(0, "x"));
        CHECK(written.error() == errc::closed);
        first = file();
        CHECK(is_open(number));
        const std::uint64_t size = co_await second.size();
        CHECK(size == 0);
    }(path("file")));
}

TEST_CASE_FIXTURE(scratch, "file: its handle's end closes it; a move takes it along") {
    run([](std::string name) -> task<> {
        int descriptor = -1;
        {
            file made = co_await file::open(name, new_file);
            descriptor = made.descriptor();
            file moved = std::move(made);
            CHECK_FALSE(made.is_open());
            CHECK(moved.descriptor() == descriptor);
        }
        CHECK_FALSE(is_open(descriptor));
    }(path("file")));
}

TEST_CASE_FIXTURE(scratch, "file: reads under way end before a close, and their bytes arrive") {
    run([](std::string name) -> task<> {
        file made = co_await filled(name);
        const int descriptor = made.descriptor();
        std::vector<join_handle<std::size_t>> reads;
        for (int i = 0; i < 20; ++i) reads.push_back(spawn(read_large, std::ref(made)));
        co_await yield_now();
        co_await made.close();
        CHECK_FALSE(is_open(descriptor));
        for (auto& each : reads) {
            const std::size_t got = co_await each;
            CHECK(got == large);
        }
    }(path("file")));
}

TEST_CASE_FIXTURE(scratch, "file: a handle that goes while others read leaves them their file") {
    run([](std::string name) -> task<> {
        join_handle<std::size_t> reading;
        int descriptor = -1;
        {
            file made = co_await filled(name);
            descriptor = made.descriptor();
            reading = spawn(read_large, std::ref(made));
            co_await yield_now();
        }
        const std::size_t got = co_await reading;
        CHECK(got == large);
        CHECK_FALSE(is_open(descriptor));
    }(path("file")));
}

TEST_CASE_FIXTURE(scratch, "file: a close that is cancelled closes all the same") {
    // In each state: before it begins, while it waits for a read, while it gives back.
    for (const int turns : {0, 1, 2, 3}) {
        for (const bool reading : {false, true}) {
            CAPTURE(turns);
            run([](std::string name, int wait, bool busy) -> task<> {
                file made = co_await filled(name);
                const int descriptor = made.descriptor();
                join_handle<std::size_t> other;
                if (busy) other = spawn(read_large, std::ref(made));
                co_await yield_now();
                auto closing =
                    spawn([](file& which) -> task<> { co_await which.close(); }, std::ref(made));
                for (int i = 0; i < wait; ++i) co_await yield_now();
                closing.cancel();
                bool cut = false;
                try {
                    co_await closing;
                } catch (const task_cancelled&) {
                    cut = true;
                }
                CHECK((cut || !made.is_open()));
                if (busy) (void)co_await other;
                if (made.is_open()) co_await made.close();  // the cancelled task never began
                CHECK_FALSE(is_open(descriptor));
            }(path("file" + std::to_string(turns) + (reading ? "r" : "")), turns, reading));
        }
    }
}

TEST_CASE_FIXTURE(scratch, "file: a close in a cancelled scope gives the descriptor back at once") {
    run([](std::string name) -> task<> {
        file made = co_await file::open(name, new_file);
        const int descriptor = made.descriptor();
        cancel_scope scope;
        auto close_too_late = [](cancel_scope& own, file& which) -> task<> {
            own.cancel();
            co_await which.close();
        };
        const bool finished = co_await scope.run(close_too_late(scope, made));
        CHECK_FALSE(finished);
        CHECK_FALSE(is_open(descriptor));
        CHECK_FALSE(made.is_open());
    }(path("file")));
}

TEST_CASE_FIXTURE(scratch, "file: an open cut by a timeout in any moment leaks no descriptor") {
    run([](std::string name) -> task<> {
        {
            const file made = co_await file::open(name, new_file);
        }
        for (int i = 0; i < 300; ++i) {
            auto opening = file::open(name, open_mode::read_write | open_mode::create);
            const auto limit = std::chrono::microseconds(i % 60);
            const auto opened = co_await nothrow(timeout(limit, std::move(opening)));
            if (!opened) CHECK(opened.error() == errc::timed_out);
        }
    }(path("file")));
}

TEST_CASE_FIXTURE(scratch, "file: an open that waits in a worker of the kernel's is cut") {
    if (!rings()) return;  // a thread of the pool would wait for the pipe's writer
    REQUIRE(::mkfifo(path("pipe").c_str(), 0600) == 0);
    run([](std::string name) -> task<> {
        constexpr open_mode by_worker = open_mode::read | open_mode::create;
        for (const auto limit : {0us, 10us, 100us, 1000us, 10'000us}) {
            CHECK_THROWS_AS(co_await timeout(limit, file::open(name, by_worker)), timeout_error);
            const auto opened = co_await nothrow(timeout(limit, file::open(name, by_worker)));
            CHECK(opened.error() == errc::timed_out);
            cancel_scope scope;
            auto cancel_later = [](cancel_scope& which, std::chrono::microseconds after) -> task<> {
                co_await sleep(after);
                which.cancel();
            };
            auto open_it = [](std::string of) -> task<> {
                const file never = co_await file::open(of, by_worker);
                FAIL("it was opened");
            };
            auto cancelling = spawn(cancel_later(scope, limit));
            const bool finished = co_await scope.run(open_it(name));
            CHECK_FALSE(finished);
            co_await cancelling;
        }
    }(path("pipe")));
}

TEST_CASE_FIXTURE(scratch, "file: a read and a write that are cut leave the file usable") {
    run([](std::string name) -> task<> {
        file made = co_await filled(name);
        std::string room(large, '\0');
        for (int i = 0; i < 100; ++i) {
            const auto limit = std::chrono::microseconds(i % 50);
            const auto got = co_await nothrow(timeout(limit, made.read_at(0, room)));
            if (!got) CHECK(got.error() == errc::timed_out);
            const auto put = co_await nothrow(timeout(limit, made.write_at(0, room)));
            if (!put) CHECK(put.error() == errc::timed_out);
        }
        const std::uint64_t size = co_await made.size();
        CHECK(size == large);
    }(path("file")));
}

TEST_CASE_FIXTURE(scratch, "file: faults of the ring come to their caller, with the path") {
    if (!rings()) return;
    fault_plan plan;
    plan.at(op_code::open, 1, fault::fail(EIO));
    plan.at(op_code::read, 0, fault::fail(EIO));
    plan.at(op_code::write, 1, fault::fail(ENOSPC));
    plan.at(op_code::sync, 0, fault::fail(EIO));
    with_faults(plan, [name = path("file")]() -> task<> {
        file made = co_await file::open(name, new_file);
        co_await made.write_all_at(0, "x");
        const auto opened = co_await nothrow(file::open(name));
        CHECK(opened.error() == std::errc::io_error);
        std::string room(1, '\0');
        const std::system_error read = co_await failure_of(made.read_at(0, room));
        CHECK(std::string(read.what()) == "cannot read \"" + name + "\": Input/output error");
        const auto written = co_await nothrow(made.write_at(0, "y"));
        CHECK(written.error() == std::errc::no_space_on_device);
        const std::system_error synced = co_await failure_of(made.fsync());
        CHECK(std::string(synced.what()) == "cannot sync \"" + name + "\": Input/output error");
        co_await made.close();
    });
    CHECK(plan.struck() == 4);
}

TEST_CASE_FIXTURE(scratch,
                  "file: interruptions are tried again, short transfers are gone on with") {
    if (!rings()) return;
    fault_plan plan;
    plan.at(op_code::open, 0, fault::fail(EINTR));
    plan.at(op_code::read, 0, fault::fail(EINTR));
    plan.at(op_code::write, 0, fault::fail(EINTR));
    plan.sometimes(1000, fault::shorten(1000), op_code::read);
    plan.sometimes(1000, fault::shorten(1000), op_code::write);
    plan.sometimes(200, fault::delay(2));
    with_faults(plan, [name = path("file")]() -> task<> {
        file made = co_await file::open(name, new_file);
        std::string sent(20'000, '\0');
        for (std::size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<char>(i % 251);
        co_await made.write_all_at(0, sent);
        std::string back(sent.size(), '\0');
        co_await made.read_exactly_at(0, back);
        CHECK(back == sent);
        co_await made.close();
    });
    CHECK(plan.struck() >= 3 + 2 * 20);
}

TEST_CASE_FIXTURE(scratch, "file: a close that fails says why, and has closed") {
    if (!rings()) return;
    fault_plan plan;
    plan.at(op_code::close, 0, fault::delay(3));
    with_faults(plan, [name = path("file")]() -> task<> {
        file made = co_await file::open(name, new_file);
        const int descriptor = made.descriptor();
        ::close(descriptor);  // behind its back
        const std::system_error error = co_await failure_of(made.close());
        CHECK(std::string(error.what()) == "cannot close \"" + name + "\": Bad file descriptor");
        CHECK_FALSE(made.is_open());
    });
}

}  // namespace
