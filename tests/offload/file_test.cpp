#include <lariat/offload/file.hpp>

#include "file_support.hpp"
#include "scratch.hpp"

#include <lariat/task/cancel_scope.hpp>
#include <lariat/task/gather.hpp>
#include <lariat/task/nothrow.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>

#include <chrono>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

using namespace lariat;
using file_test::failure_of;
using file_test::size_limit;
using lariat::test::scratch;

constexpr open_mode new_file = open_mode::read_write | open_mode::create_new;

task<std::string> contents(file& of) {
    const std::uint64_t size = co_await of.size();
    std::string all(size, '\0');
    co_await of.read_exactly_at(0, all);
    co_return all;
}

task<std::string> head(file& of, std::size_t most) {
    std::string room(most, '\0');
    const std::size_t got = co_await of.read_at(0, room);
    room.resize(got);
    co_return room;
}

TEST_CASE_FIXTURE(scratch, "file: what was written at an offset is read back there") {
    run([](std::string name) -> task<> {
        file made = co_await file::open(name, new_file);
        const std::size_t first = co_await made.write_at(0, "0123456789");
        const std::size_t second = co_await made.write_at(7, "xyz");
        CHECK(first == 10);
        CHECK(second == 3);
        std::string room(4, '\0');
        const std::size_t got = co_await made.read_at(5, room);
        CHECK(got == 4);
        CHECK(room == "56xy");
        const std::size_t last = co_await made.read_at(8, room);
        CHECK(last == 2);
        CHECK(room.substr(0, 2) == "yz");
        const std::size_t behind = co_await made.read_at(1000, room);
        CHECK(behind == 0);
        co_await made.close();
    }(path("file")));
}

TEST_CASE_FIXTURE(scratch, "file: large reads and writes are whole, whatever the kernel's steps") {
    run([](std::string name) -> task<> {
        std::string sent(5'000'000, '\0');
        for (std::size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<char>(i * 31 / 7);
        file made = co_await file::open(name, new_file);
        co_await made.write_all_at(3, sent);
        std::string back(sent.size(), '\0');
        co_await made.read_exactly_at(3, back);
        CHECK(back == sent);
        const std::size_t got = co_await made.read_at(3, back);
        CHECK(got == sent.size());
        const std::uint64_t size = co_await made.size();
        CHECK(size == sent.size() + 3);
    }(path("file")));
}

TEST_CASE_FIXTURE(scratch, "file: read_exactly_at says how far it came before the end") {
    run([](std::string name) -> task<> {
        file made = co_await file::open(name, new_file);
        co_await made.write_all_at(0, "short");
        std::string room(10, '\0');
        bool threw = false;
        try {
            co_await made.read_exactly_at(2, room);
        } catch (const incomplete_read& error) {
            threw = true;
            CHECK(error.received() == 3);
            CHECK(std::string(error.what()).find("/file\"") != std::string::npos);
        }
        CHECK(threw);
        CHECK(room.substr(0, 3) == "ort");
    }(path("file")));
}

TEST_CASE_FIXTURE(scratch,
                  "file: an empty file, room for nothing and nothing to write are no errors") {
    run([](std::string name) -> task<> {
        file made = co_await file::open(name, new_file);
        std::string room(10, '\0');
        std::string none;
        const std::size_t got = co_await made.read_at(0, room);
        const std::size_t less = co_await made.read_at(0, none);
        const std::size_t taken = co_await made.write_at(0, "");
        CHECK(got == 0);
        CHECK(less == 0);
        CHECK(taken == 0);
        co_await made.read_exactly_at(7, none);
        co_await made.write_all_at(7, "");
        const std::uint64_t size = co_await made.size();
        CHECK(size == 0);
    }(path("file")));
}

TEST_CASE_FIXTURE(scratch, "file: offsets beyond 4 GiB are met, and holes read as zeros") {
    run([](std::string name) -> task<> {
        constexpr std::uint64_t far = (std::uint64_t{5} << 30) + 12'345;
        file made = co_await file::open(name, new_file);
        co_await made.write_all_at(far, "far out");
        std::string room(7, '\0');
        co_await made.read_exactly_at(far, room);
        CHECK(room == "far out");
        co_await made.read_exactly_at(far - (std::uint64_t{1} << 32), room);
        CHECK(room == std::string(7, '\0'));
        const file_status about = co_await made.status();
        CHECK(about.size == far + 7);
        CHECK(about.allocated_bytes < 1'000'000);
    }(path("sparse")));
}

TEST_CASE_FIXTURE(scratch, "file: an offset that is none is refused") {
    run([](std::string name) -> task<> {
        file made = co_await file::open(name, new_file);
        std::string room(7, '\0');
        for (const std::uint64_t offset : {std::uint64_t{1} << 63, ~std::uint64_t{0}}) {
            const auto got = co_await nothrow(made.read_at(offset, room));
            CHECK(got.error() == std::errc::invalid_argument);
            const auto taken = co_await nothrow(made.write_at(offset, "x"));
            CHECK(taken.error() == std::errc::invalid_argument);
        }
    }(path("file")));
}

TEST_CASE_FIXTURE(scratch, "file: append goes to the end, whatever the mode") {
    run([](std::string name) -> task<> {
        file made = co_await file::open(name, new_file);
        file log = co_await file::open(name, open_mode::append);
        co_await made.append("one ");
        co_await log.append("two ");
        co_await made.append("three");
        const std::string all = co_await contents(made);
        CHECK(all == "one two three");
        std::vector<task<>> many;
        auto add = [](file& to) -> task<> {
            const std::size_t taken = co_await to.append("0123456789");
            CHECK(taken == 10);
        };
        for (int i = 0; i < 100; ++i) many.push_back(add(i % 2 == 0 ? made : log));
        co_await gather(std::move(many));
        const std::uint64_t size = co_await made.size();
        CHECK(size == all.size() + 1000);
    }(path("log")));
}

TEST_CASE_FIXTURE(scratch, "file: modes make, truncate, refuse what is there, or only read") {
    run([](std::string name) -> task<> {
        const auto missing = co_await nothrow(file::open(name, open_mode::read_write));
        CHECK(missing.error() == std::errc::no_such_file_or_directory);
        {
            file made = co_await file::open(name, open_mode::write | open_mode::create);
            co_await made.write_all_at(0, "some text");
            std::string room(1, '\0');
            const auto got = co_await nothrow(made.read_at(0, room));
            CHECK(got.error() == std::errc::bad_file_descriptor);
        }
        const auto there = co_await nothrow(file::open(name, new_file));
        CHECK(there.error() == std::errc::file_exists);
        {
            file kept = co_await file::open(name, open_mode::read | open_mode::create);
            const std::string all = co_await contents(kept);
            CHECK(all == "some text");
            const auto taken = co_await nothrow(kept.write_at(0, "x"));
            CHECK(taken.error() == std::errc::bad_file_descriptor);
        }
        file cut = co_await file::open(name, open_mode::write | open_mode::truncate);
        const std::uint64_t size = co_await cut.size();
        CHECK(size == 0);
        for (const open_mode none : {open_mode::create, open_mode::read | open_mode::truncate}) {
            const auto meaningless = co_await nothrow(file::open(name, none));
            CHECK(meaningless.error() == std::errc::invalid_argument);
        }
    }(path("file")));
}

TEST_CASE_FIXTURE(scratch,
                  "file: a new one has the permissions asked, and no program inherits it") {
    const mode_t before = ::umask(027);
    run([](std::string name) -> task<> {
        const file usual = co_await file::open(name + "1", new_file);
        const file own = co_await file::open(name + "2", new_file, 0600);
        CHECK((::fcntl(usual.descriptor(), F_GETFD) & FD_CLOEXEC) != 0);
        struct stat about{};
        REQUIRE(::fstat(usual.descriptor(), &about) == 0);
        CHECK((about.st_mode & 07777) == 0640);
        REQUIRE(::fstat(own.descriptor(), &about) == 0);
        CHECK((about.st_mode & 07777) == 0600);
    }(path("file")));
    ::umask(before);
}

TEST_CASE_FIXTURE(scratch, "file: status tells size, type, permissions and times") {
    run([](std::string name) -> task<> {
        const auto before = std::chrono::system_clock::now() - std::chrono::seconds(2);
        file made = co_await file::open(name, new_file, 0604);
        co_await made.write_all_at(0, "12345");
        const file_status about = co_await made.status();
        CHECK(about.size == 5);
        CHECK(about.is_regular());
        CHECK_FALSE(about.is_directory());
        CHECK((about.permissions & ~0604) == 0);
        CHECK(about.links == 1);
        CHECK(about.owner == ::geteuid());
        CHECK(about.modified > before);
        CHECK(about.modified < before + std::chrono::hours(1));
        CHECK(about.changed >= about.modified);
        struct stat raw{};
        REQUIRE(::fstat(made.descriptor(), &raw) == 0);
        CHECK(about.inode == raw.st_ino);
        CHECK(about.device == raw.st_dev);
    }(path("file")));
}

TEST_CASE_FIXTURE(scratch, "file: truncate cuts and grows; fsync and fdatasync end") {
    run([](std::string name) -> task<> {
        file made = co_await file::open(name, new_file);
        co_await made.write_all_at(0, "0123456789");
        co_await made.truncate(4);
        co_await made.fdatasync();
        const std::string cut = co_await contents(made);
        CHECK(cut == "0123");
        co_await made.truncate(6);
        co_await made.fsync();
        const std::string grown = co_await contents(made);
        CHECK(grown == std::string("0123\0\0", 6));
    }(path("file")));
}

TEST_CASE_FIXTURE(scratch, "file: names with odd bytes are names; a NUL is refused") {
    run([](std::string folder) -> task<> {
        for (const char* odd :
             {"new\nline", "\x01\xff\xfe", " ", "-rf", "\xc3\xa4\xc3", "a*?\"'"}) {
            const std::string name = folder + odd;
            file made = co_await file::open(name, new_file);
            co_await made.write_all_at(0, odd);
            const std::string back = co_await contents(made);
            CHECK(back == odd);
            CHECK(::access(name.c_str(), F_OK) == 0);
        }
        const std::string two_names(folder + std::string("a\0b", 3));
        const auto refused = co_await nothrow(file::open(two_names, new_file));
        CHECK(refused.error() == std::errc::invalid_argument);
    }(path("")));
}

TEST_CASE("file: those of /proc say they are empty and are read all the same") {
    run([]() -> task<> {
        file status = co_await file::open("/proc/self/status");
        const std::uint64_t size = co_await status.size();
        CHECK(size == 0);
        const std::string some = co_await head(status, 200);
        CHECK(some.size() == 200);
        CHECK(some.starts_with("Name:"));
    }());
}

TEST_CASE_FIXTURE(scratch, "file: an error names the path and what failed") {
    run([](std::string name) -> task<> {
        const std::system_error missing = co_await failure_of(file::open(name + "/none"));
        CHECK(missing.code() == std::errc::no_such_file_or_directory);
        CHECK(std::string(missing.what()) ==
              "cannot open \"" + name + "/none\": No such file or directory");
        file made = co_await file::open(name, open_mode::write | open_mode::create);
        std::string room(1, '\0');
        const std::system_error blind = co_await failure_of(made.read_at(0, room));
        CHECK(std::string(blind.what()) == "cannot read \"" + name + "\": Bad file descriptor");
        file folder = co_await file::open("/tmp");
        const std::system_error no_file = co_await failure_of(folder.read_at(0, room));
        CHECK(no_file.code() == std::errc::is_a_directory);
        const std::system_error not_there = co_await failure_of(file::open(name + "/below"));
        CHECK(not_there.code() == std::errc::not_a_directory);
        const auto empty = co_await nothrow(file::open(""));
        CHECK(empty.error() == std::errc::no_such_file_or_directory);
    }(path("file")));
}

TEST_CASE_FIXTURE(scratch, "file: without permission it says so") {
    run([](std::string name) -> task<> {
        {
            const file made = co_await file::open(name, new_file);
        }
        ::chmod(name.c_str(), 0);
        const auto opened = co_await nothrow(file::open(name));
        // Root may read everything.
        if (::access(name.c_str(), R_OK) == 0)
            CHECK(opened.has_value());
        else
            CHECK(opened.error() == std::errc::permission_denied);
    }(path("locked")));
}

TEST_CASE_FIXTURE(scratch, "file: a full disk is reported, and what fits is written") {
    run([](std::string name) -> task<> {
        file full = co_await file::open("/dev/full", open_mode::write);
        const std::system_error error = co_await failure_of(full.write_at(0, "more than fits"));
        CHECK(error.code() == std::errc::no_space_on_device);
        CHECK(std::string(error.what()) ==
              "cannot write to \"/dev/full\": No space left on device");
        file made = co_await file::open(name, new_file);
        const size_limit least(1000);
        const std::string much(3000, 'x');
        const std::size_t part = co_await made.write_at(0, much);
        CHECK(part == 1000);
        const auto none = co_await nothrow(made.write_at(1000, much));
        CHECK(none.error() == std::errc::file_too_large);
        const std::system_error all = co_await failure_of(made.write_all_at(500, much));
        CHECK(all.code() == std::errc::file_too_large);
        const std::uint64_t size = co_await made.size();
        CHECK(size == 1000);
    }(path("file")));
}

TEST_CASE_FIXTURE(scratch, "file: a thousand reads at once each get their own bytes") {
    run([](std::string name) -> task<> {
        constexpr std::size_t count = 1000;
        constexpr std::size_t piece = 4096;
        std::string all(count * piece, '\0');
        for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<char>(i / piece * 7);
        file made = co_await file::open(name, new_file);
        co_await made.write_all_at(0, all);
        auto one = [](file& from, std::size_t index) -> task<bool> {
            std::string room(piece, '\0');
            const std::size_t got = co_await from.read_at(index * piece, room);
            const std::string expected(piece, static_cast<char>(index * 7));
            co_return got == piece&& room == expected;
        };
        // Whether they are in memory or not, and in pieces the kernel does not give at once.
        for (const bool forget : {false, true}) {
            if (forget) {
                co_await made.fsync();
                ::posix_fadvise(made.descriptor(), 0, 0, POSIX_FADV_DONTNEED);
            }
            std::vector<task<bool>> reads;
            for (std::size_t i = 0; i < count; ++i) reads.push_back(one(made, i));
            const std::vector<bool> right = co_await gather(std::move(reads));
            std::size_t wrong = 0;
            for (const bool each : right) wrong += each ? 0 : 1;
            CHECK(wrong == 0);
        }
    }(path("file")));
}

TEST_CASE_FIXTURE(scratch, "file: out of descriptors, one open fails and the next succeeds") {
    run([](std::string name) -> task<> {
        {
            const file made = co_await file::open(name, new_file);
        }
        rlimit before{};
        REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
        const int next = ::dup(0);  // the lowest free number
        ::close(next);
        rlimit none = before;
        none.rlim_cur = static_cast<rlim_t>(next);
        REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
        const auto refused = co_await nothrow(file::open(name));
        REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
        CHECK(refused.error() == std::errc::too_many_files_open);
        const auto opened = co_await nothrow(file::open(name));
        CHECK(opened.has_value());
    }(path("file")));
}

}  // namespace
