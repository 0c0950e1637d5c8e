#include <lariat/offload/files.hpp>

#include "leak_check.hpp"

#include <lariat/loop/loop.hpp>
#include <lariat/task/gather.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include <sys/stat.h>
#include <unistd.h>

namespace {

using namespace lariat;
using lariat::test::leak_check;

/// A folder of the test's own.
class scratch : leak_check {
 public:
    scratch() {
        std::string pattern = (std::filesystem::temp_directory_path() / "lariat-XXXXXX").string();
        REQUIRE(::mkdtemp(pattern.data()) != nullptr);
        folder_ = pattern;
    }
    ~scratch() { std::filesystem::remove_all(folder_); }

 protected:
    [[nodiscard]] std::string path(const char* name) const { return (folder_ / name).string(); }
    [[nodiscard]] unsigned mode_of(const char* name) const {
        struct stat about{};
        REQUIRE(::stat(path(name).c_str(), &about) == 0);
        return about.st_mode & 07777U;
    }

 private:
    std::filesystem::path folder_;
};

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
    CHECK(mode_of("usual") == 0640);
    CHECK(mode_of("private") == 0600);
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

}  // namespace
