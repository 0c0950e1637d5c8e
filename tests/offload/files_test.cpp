#include <lariat/offload/files.hpp>

#include "file_support.hpp"
#include "scratch.hpp"

#include <lariat/base/unique_fd.hpp>
#include <lariat/loop/loop.hpp>
#include <lariat/task/gather.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>

#include <doctest/doctest.h>

#include <array>
#include <string>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

using namespace lariat;
using file_test::size_limit;
using lariat::test::scratch;

unsigned mode_of(const std::string& path) {
    struct stat about{};
    REQUIRE(::stat(path.c_str(), &about) == 0);
    return about.st_mode & 07777U;
}

/// The code and the words of what `work` fails with.
template <class T>
std::system_error failure_of(task<T> work) {
    try {
        (void)run([](task<T> inner) -> task<int> {
            (void)co_await std::move(inner);
            co_return 0;
        }(std::move(work)));
    } catch (const std::system_error& error) {
        return error;
    }
    FAIL("it did not fail");
    return std::system_error(std::error_code());
}
std::system_error failure_of(task<> work) {
    return failure_of([](task<> inner) -> task<int> {
        co_await std::move(inner);
        co_return 0;
    }(std::move(work)));
}

TEST_CASE_FIXTURE(scratch, "files: what was written is read back") {
    std::string content(3'000'000, 'x');
    content[1'234'567] = '\0';
    const std::string name = path("file");
    run([&]() -> task<> {
        co_await write_file(name, content);
        const std::string back = co_await read_file(name);
        CHECK(back == content);
        co_await write_file(name, "short");
        const std::string less = co_await read_file(name);
        CHECK(less == "short");
        co_await write_file(name, "");
        const std::string none = co_await read_file(name);
        CHECK(none.empty());
    }());
}

TEST_CASE_FIXTURE(scratch, "files: any bytes can be written, moved in, copied or referred to") {
    run([&]() -> task<> {
        const std::string name = path("file");
        const std::vector<unsigned char> bytes{1, 0, 255};
        co_await write_file(name, bytes);
        const std::string first = co_await read_file(name);
        CHECK(first == std::string("\x01\x00\xff", 3));
        const std::array<std::byte, 2> two{std::byte{65}, std::byte{66}};
        co_await write_file(name, std::span(two));
        const std::string second = co_await read_file(name);
        CHECK(second == "AB");
        auto later = [&] {
            std::string text = "gone by the time it is written";
            return write_file(name, text);
        }();
        co_await std::move(later);
        const std::string third = co_await read_file(name);
        CHECK(third == "gone by the time it is written");
    }());
}

TEST_CASE_FIXTURE(scratch, "files: a new file has the asked permissions less the umask") {
    const mode_t before = ::umask(027);
    write_options options;
    options.permissions = 0600;
    run([&]() -> task<> {
        co_await write_file(path("usual"), "x");
        co_await write_file(path("private"), "x", options);
    }());
    ::umask(before);
    CHECK(mode_of(path("usual")) == 0640);
    CHECK(mode_of(path("private")) == 0600);
}

TEST_CASE_FIXTURE(scratch, "files: append adds, create_new refuses what is there") {
    write_options append;
    append.append = true;
    write_options create_new;
    create_new.create_new = true;
    const std::string name = path("log");
    run([&]() -> task<> {
        co_await write_file(name, "one ", append);
        co_await write_file(name, "two", append);
        const std::string both = co_await read_file(name);
        CHECK(both == "one two");
    }());
    const std::system_error error = failure_of(write_file(name, "three", create_new));
    CHECK(error.code() == std::errc::file_exists);
    CHECK(std::string(error.what()) == "cannot open \"" + name + "\" to write: File exists");
    CHECK(run(read_file(name)) == "one two");
}

TEST_CASE_FIXTURE(scratch, "files: an error names the path and what failed") {
    const std::string missing = path("no/such/file");
    const std::system_error absent = failure_of(read_file(missing));
    CHECK(absent.code() == std::errc::no_such_file_or_directory);
    CHECK(std::string(absent.what()) ==
          "cannot open \"" + missing + "\" to read: No such file or directory");
    CHECK(failure_of(write_file(missing, "x")).code() == std::errc::no_such_file_or_directory);

    const std::string folder = path("");
    const std::system_error is_folder = failure_of(read_file(folder));
    CHECK(is_folder.code() == std::errc::is_a_directory);
    CHECK(std::string(is_folder.what()) == "cannot read \"" + folder + "\": Is a directory");
    CHECK(failure_of(write_file(folder, "x")).code() == std::errc::is_a_directory);

    const std::string two_names("a\0b", 3);
    CHECK(failure_of(read_file(two_names)).code() == std::errc::invalid_argument);
}

TEST_CASE_FIXTURE(scratch, "files: without permission it says so") {
    const std::string name = path("locked");
    run(write_file(name, "x"));
    ::chmod(name.c_str(), 0);
    if (::access(name.c_str(), R_OK) == 0) return;  // root may read everything
    CHECK(failure_of(read_file(name)).code() == std::errc::permission_denied);
    CHECK(failure_of(write_file(name, "y")).code() == std::errc::permission_denied);
}

TEST_CASE_FIXTURE(scratch, "files: a full disk is reported") {
    const std::system_error error = failure_of(write_file("/dev/full", "more than fits"));
    CHECK(error.code() == std::errc::no_space_on_device);
    CHECK(std::string(error.what()) == "cannot write to \"/dev/full\": No space left on device");
}

TEST_CASE_FIXTURE(scratch, "files: those of /proc say they are empty and are read all the same") {
    const std::string status = run(read_file("/proc/self/status"));
    CHECK(status.find("VmPeak") != std::string::npos);
    const std::string maps = run(read_file("/proc/self/maps"));
    CHECK(maps.size() > 4096);
    CHECK(maps.ends_with('\n'));
}

TEST_CASE_FIXTURE(scratch, "files: many at once") {
    run([&]() -> task<> {
        std::vector<task<>> writes;
        for (int i = 0; i < 50; ++i) {
            const std::string text = std::to_string(i);
            writes.push_back(write_file(path(text.c_str()), text));
        }
        co_await gather(std::move(writes));
        std::vector<task<std::string>> reads;
        for (int i = 0; i < 50; ++i) reads.push_back(read_file(path(std::to_string(i).c_str())));
        const std::vector<std::string> back = co_await gather(std::move(reads));
        for (int i = 0; i < 50; ++i) CHECK(back[static_cast<std::size_t>(i)] == std::to_string(i));
    }());
}

write_options atomically() {
    write_options options;
    options.atomic = true;
    return options;
}

TEST_CASE_FIXTURE(scratch, "files: an atomic write makes or replaces, and leaves nothing beside") {
    const std::string name = path("file");
    write_options options = atomically();
    options.permissions = 0640;
    run(write_file(name, "first", options));
    CHECK(run(read_file(name)) == "first");
    CHECK((mode_of(name) & ~0640U) == 0);
    options.sync = true;
    run(write_file(name, "", options));
    CHECK(run(read_file(name)).empty());
    run(write_file(name, std::string(300'000, 'x'), options));
    CHECK(run(read_file(name)).size() == 300'000);
    CHECK(names() == std::vector<std::string>{"file"});
}

TEST_CASE_FIXTURE(scratch,
                  "files: an atomic write keeps permissions, and leaves the old to readers") {
    const std::string name = path("file");
    run(write_file(name, "old"));
    REQUIRE(::chmod(name.c_str(), 04751) == 0);
    const unique_fd reader(::open(name.c_str(), O_RDONLY | O_CLOEXEC));
    run(write_file(name, "new", atomically()));
    CHECK(mode_of(name) == 04751);
    std::array<char, 8> room{};
    REQUIRE(::read(reader.get(), room.data(), room.size()) == 3);
    CHECK(std::string(room.data()) == "old");
    CHECK(run(read_file(name)) == "new");
}

TEST_CASE_FIXTURE(scratch, "files: an atomic write that fails leaves everything as it was") {
    const std::string name = path("file");
    run(write_file(name, "old"));
    {
        const size_limit least(1000);
        const std::system_error error =
            failure_of(write_file(name, std::string(3000, 'x'), atomically()));
        CHECK(error.code() == std::errc::file_too_large);
        CHECK(std::string(error.what()) == "cannot write to \"" + name + "\": File too large");
    }
    CHECK(run(read_file(name)) == "old");
    CHECK(names() == std::vector<std::string>{"file"});
    const std::system_error nowhere = failure_of(write_file(path("no/file"), "x", atomically()));
    CHECK(nowhere.code() == std::errc::no_such_file_or_directory);
    CHECK(std::string(nowhere.what()) ==
          "cannot make a file beside \"" + path("no/file") + "\": No such file or directory");
}

TEST_CASE_FIXTURE(scratch,
                  "files: an atomic create_new refuses what is there, and replaces nothing") {
    const std::string name = path("file");
    write_options options = atomically();
    options.create_new = true;
    run(write_file(name, "mine", options));
    const std::system_error error = failure_of(write_file(name, "yours", options));
    CHECK(error.code() == std::errc::file_exists);
    CHECK(run(read_file(name)) == "mine");
    CHECK(names() == std::vector<std::string>{"file"});
}

TEST_CASE_FIXTURE(scratch,
                  "files: an atomic write follows links, also those that lead nowhere yet") {
    run(write_file(path("target"), "old"));
    REQUIRE(::symlink("target", path("one").c_str()) == 0);
    REQUIRE(::symlink(path("one").c_str(), path("two").c_str()) == 0);
    REQUIRE(::symlink("made", path("three").c_str()) == 0);
    REQUIRE(::symlink("round", path("round").c_str()) == 0);
    run(write_file(path("two"), "new", atomically()));
    run(write_file(path("three"), "fresh", atomically()));
    CHECK(run(read_file(path("target"))) == "new");
    CHECK(run(read_file(path("made"))) == "fresh");
    struct stat about{};
    REQUIRE(::lstat(path("two").c_str(), &about) == 0);
    CHECK(S_ISLNK(about.st_mode));
    CHECK(failure_of(write_file(path("round"), "x", atomically())).code() ==
          std::errc::too_many_symbolic_link_levels);
    CHECK(names().size() == 6);
}

TEST_CASE_FIXTURE(scratch, "files: an atomic write refuses what it cannot replace") {
    CHECK(failure_of(write_file(path(""), "x", atomically())).code() == std::errc::is_a_directory);
    CHECK(failure_of(write_file("/dev/null", "x", atomically())).code() ==
          std::errc::invalid_argument);
    write_options appending = atomically();
    appending.append = true;
    CHECK(failure_of(write_file(path("log"), "x", appending)).code() ==
          std::errc::invalid_argument);
    const std::string two_names(path("a") + std::string("\0b", 2));
    CHECK(failure_of(write_file(two_names, "x", atomically())).code() ==
          std::errc::invalid_argument);
    CHECK(names().empty());
}

TEST_CASE_FIXTURE(scratch, "files: an atomic write that is cancelled is whole or not at all") {
    run([](const scratch& here) -> task<> {
        const std::string name = here.path("file");
        co_await write_file(name, std::string(100'000, 'a'), atomically());
        for (int i = 0; i < 100; ++i) {
            const char letter = static_cast<char>('b' + i % 20);
            const std::string text(100'000, letter);
            auto writing = spawn(write_file(name, text, atomically()));
            for (int turns = 0; turns < i % 5; ++turns) co_await yield_now();
            writing.cancel();
            bool cut = false;
            try {
                co_await writing;
            } catch (const task_cancelled&) {
                cut = true;
            }
            const std::string now = co_await read_file(name);
            CHECK(now.size() == 100'000);
            CHECK(now.find_first_not_of(now.front()) == std::string::npos);
            if (!cut) CHECK(now == text);
        }
        CHECK(here.names() == std::vector<std::string>{"file"});
    }(*this));
}

TEST_CASE_FIXTURE(scratch, "files: whoever reads meanwhile finds the old or the new, whole") {
    run([](std::string name) -> task<> {
        co_await write_file(name, std::string(50'000, 'a'), atomically());
        auto writing = spawn(
            [](std::string to) -> task<> {
                for (int i = 0; i < 50; ++i) {
                    const std::string text(50'000, static_cast<char>('b' + i % 20));
                    co_await write_file(to, text, atomically());
                }
            },
            name);
        int torn = 0;
        while (!writing.done()) {
            const std::string now = co_await read_file(name);
            const bool whole =
                now.size() == 50'000 && now.find_first_not_of(now.front()) == std::string::npos;
            torn += whole ? 0 : 1;
        }
        co_await writing;
        CHECK(torn == 0);
    }(path("file")));
}

TEST_CASE_FIXTURE(scratch, "files: sync brings it to the disk, appended or made") {
    write_options options;
    options.sync = true;
    options.append = true;
    run(write_file(path("log"), "one ", options));
    run(write_file(path("log"), "two", options));
    CHECK(run(read_file(path("log"))) == "one two");
    CHECK(failure_of(write_file("/dev/full", "x", options)).code() ==
          std::errc::no_space_on_device);
}

TEST_CASE_FIXTURE(scratch, "files: a limit is reached, and not passed by a byte") {
    const std::string name = path("file");
    run(write_file(name, "12345"));
    read_options options;
    options.limit = 5;
    CHECK(run(read_file(name, options)) == "12345");
    options.limit = 4;
    CHECK_THROWS_WITH_AS(run(read_file(name, options)),
                         ("cannot read \"" + name + "\" within 4 bytes: over the limit").c_str(),
                         limit_error);
    options.limit = 0;
    CHECK_THROWS_AS(run(read_file(name, options)), limit_error);
    CHECK(run(read_file("/dev/null", options)).empty());
    options.limit = 100'000;  // of a file that never ends
    CHECK_THROWS_AS(run(read_file("/dev/zero", options)), limit_error);
    options.limit = 10;
    CHECK_THROWS_AS(run(read_file("/proc/self/status", options)), limit_error);
}

}  // namespace
