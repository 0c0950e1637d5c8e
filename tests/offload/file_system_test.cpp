#include <lariat/offload/file_system.hpp>

#include "file_support.hpp"
#include "scratch.hpp"

#include <lariat/offload/files.hpp>
#include <lariat/task/gather.hpp>
#include <lariat/task/nothrow.hpp>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <set>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <sys/stat.h>
#include <unistd.h>

namespace {

using namespace lariat;
using file_test::failure_of;
using file_test::rings;
using file_test::with_faults;
using lariat::detail::fault;
using lariat::detail::fault_plan;
using lariat::test::scratch;

TEST_CASE_FIXTURE(scratch, "file system: stat_file follows a link, stat_link looks at it") {
    REQUIRE(::symlink("file", path("link").c_str()) == 0);
    run([](const scratch& here) -> task<> {
        co_await write_file(here.path("file"), "12345");
        const file_status direct = co_await stat_file(here.path("file"));
        const file_status through = co_await stat_file(here.path("link"));
        const file_status link = co_await stat_link(here.path("link"));
        CHECK(direct.size == 5);
        CHECK(direct.is_regular());
        CHECK(through.inode == direct.inode);
        CHECK(link.type == file_type::symlink);
        CHECK(link.size == 4);
        const file_status folder = co_await stat_file(here.path(""));
        CHECK(folder.is_directory());
        const file_status null = co_await stat_file("/dev/null");
        CHECK(null.type == file_type::character_device);
        const file_status entry = co_await stat_file("/proc/self/status");
        CHECK(entry.size == 0);
    }(*this));
}

TEST_CASE_FIXTURE(scratch, "file system: an error names the verb, and both paths of a rename") {
    run([](const scratch& here) -> task<> {
        const std::string none = here.path("none");
        const std::string other = here.path("other");
        const std::string why = ": No such file or directory";
        const auto looked = co_await failure_of(stat_file(none));
        CHECK(std::string(looked.what()) == "cannot look at \"" + none + "\"" + why);
        const auto renamed = co_await failure_of(rename_file(none, other));
        CHECK(std::string(renamed.what()) ==
              "cannot rename \"" + none + "\" to \"" + other + "\"" + why);
        const auto removed = co_await failure_of(remove_file(none));
        CHECK(std::string(removed.what()) == "cannot remove \"" + none + "\"" + why);
        const auto made = co_await failure_of(make_directory(none + "/below"));
        CHECK(std::string(made.what()) == "cannot make directory \"" + none + "/below\"" + why);
        const auto gone = co_await failure_of(remove_directory(none));
        CHECK(std::string(gone.what()) == "cannot remove directory \"" + none + "\"" + why);
        const auto listed = co_await failure_of(read_directory(none));
        CHECK(std::string(listed.what()) == "cannot open directory \"" + none + "\"" + why);
        const std::string two_names(none + std::string("\0b", 2));
        const auto cut_short = co_await nothrow(remove_file(two_names));
        CHECK(cut_short.error() == std::errc::invalid_argument);
        const auto cut_target = co_await nothrow(rename_file(here.path(""), two_names));
        CHECK(cut_target.error() == std::errc::invalid_argument);
        const auto cut_folder = co_await failure_of(read_directory(two_names));
        CHECK(cut_folder.code() == std::errc::invalid_argument);
    }(*this));
}

TEST_CASE_FIXTURE(scratch, "file system: a rename replaces, rename_new does not") {
    run([](const scratch& here) -> task<> {
        const std::string one = here.path("one");
        const std::string two = here.path("two");
        co_await write_file(one, "1");
        co_await write_file(two, "2");
        const auto refused = co_await nothrow(rename_new(one, two));
        CHECK(refused.error() == std::errc::file_exists);
        co_await rename_file(one, two);
        const std::string now = co_await read_file(two);
        CHECK(now == "1");
        co_await rename_new(two, one);
        CHECK(here.names() == std::vector<std::string>{"one"});
    }(*this));
}

TEST_CASE_FIXTURE(scratch, "file system: files are removed as files, directories when empty") {
    const mode_t before = ::umask(022);
    run([](const scratch& here) -> task<> {
        const std::string folder = here.path("folder");
        co_await make_directory(folder, 0775);
        struct stat about{};
        REQUIRE(::stat(folder.c_str(), &about) == 0);
        CHECK((about.st_mode & 07777) == 0755);
        const auto again = co_await nothrow(make_directory(folder));
        CHECK(again.error() == std::errc::file_exists);
        co_await write_file(folder + "/file", "x");
        const auto full = co_await nothrow(remove_directory(folder));
        CHECK(full.error() == std::errc::directory_not_empty);
        const auto no_file = co_await nothrow(remove_file(folder));
        CHECK(no_file.error() == std::errc::is_a_directory);
        const auto no_folder = co_await nothrow(remove_directory(folder + "/file"));
        CHECK(no_folder.error() == std::errc::not_a_directory);
        co_await remove_file(folder + "/file");
        co_await remove_directory(folder);
        CHECK(here.names().empty());
    }(*this));
    ::umask(before);
}

TEST_CASE_FIXTURE(scratch, "file system: a directory's entries have names and types") {
    REQUIRE(::mkdir(path("folder").c_str(), 0700) == 0);
    REQUIRE(::symlink("folder", path("link").c_str()) == 0);
    REQUIRE(::mkfifo(path("pipe").c_str(), 0600) == 0);
    run([](const scratch& here) -> task<> {
        co_await write_file(here.path(".hidden"), "");
        co_await write_file(here.path("odd\n\xff"), "");
        std::vector<directory_entry> all = co_await read_directory(here.path(""));
        std::sort(all.begin(), all.end(),
                  [](const auto& one, const auto& other) { return one.name < other.name; });
        REQUIRE(all.size() == 5);
        CHECK(all[0].name == ".hidden");
        CHECK(all[0].type == file_type::regular);
        CHECK(all[1].name == "folder");
        CHECK(all[1].type == file_type::directory);
        CHECK(all[2].name == "link");
        CHECK(all[2].type == file_type::symlink);
        CHECK(all[3].name == "odd\n\xff");
        CHECK(all[4].name == "pipe");
        CHECK(all[4].type == file_type::pipe);
        const auto none = co_await read_directory(here.path("folder"));
        CHECK(none.empty());
        const auto no_folder = co_await failure_of(read_directory(here.path(".hidden")));
        CHECK(no_folder.code() == std::errc::not_a_directory);
    }(*this));
}

TEST_CASE_FIXTURE(scratch, "file system: a large directory comes in batches, each name once") {
    static constexpr std::size_t count = 3000;
    run([](const scratch& here) -> task<> {
        std::vector<task<>> writes;
        for (std::size_t i = 0; i < count; ++i)
            writes.push_back(
                write_file(here.path("a file of some length " + std::to_string(i)), ""));
        co_await gather(std::move(writes));
        std::set<std::string> names;
        int batches = 0;
        auto sequence = directory_batches(here.path(""));
        while (auto batch = co_await sequence.next()) {
            ++batches;
            CHECK_FALSE(batch->empty());
            for (const directory_entry& entry : *batch) CHECK(names.insert(entry.name).second);
        }
        CHECK(batches > 1);
        CHECK(names.size() == count);
        const auto all = co_await read_directory(here.path(""));
        CHECK(all.size() == count);
        auto left_early = directory_batches(here.path(""));
        const auto first = co_await left_early.next();
        CHECK(first.has_value());
    }(*this));
}

TEST_CASE_FIXTURE(scratch, "file system: faults of the ring come to their caller") {
    if (!rings()) return;
    fault_plan plan;
    plan.at(op_code::status, 0, fault::fail(EIO));
    plan.at(op_code::rename, 0, fault::fail(EXDEV));
    plan.at(op_code::remove, 0, fault::fail(EINTR));
    plan.at(op_code::make_directory, 0, fault::fail(ENOSPC));
    with_faults(plan, [name = path("file")]() -> task<> {
        const auto looked = co_await nothrow(stat_file(name));
        CHECK(looked.error() == std::errc::io_error);
        const auto renamed = co_await nothrow(rename_file(name, name + "2"));
        CHECK(renamed.error() == std::errc::cross_device_link);
        const auto removed = co_await nothrow(remove_file(name));  // tried again
        CHECK(removed.error() == std::errc::no_such_file_or_directory);
        const auto made = co_await nothrow(make_directory(name));
        CHECK(made.error() == std::errc::no_space_on_device);
    });
    CHECK(plan.struck() == 4);
}

}  // namespace
