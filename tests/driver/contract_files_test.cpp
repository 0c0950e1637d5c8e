// What is asked of files: a driver does it, or says at once that it does not.
#include "world.hpp"

#include <lariat/base/unique_fd.hpp>

#include "driver/file_ops.hpp"

#include <array>
#include <cerrno>
#include <filesystem>
#include <string>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>

using namespace driver_test;
using lariat::unique_fd;

namespace {

/// A folder that goes with the test.
class folder {
 public:
    folder() {
        std::string pattern = (std::filesystem::temp_directory_path() / "lariat-XXXXXX").string();
        REQUIRE(::mkdtemp(pattern.data()) != nullptr);
        path_ = pattern;
    }
    folder(const folder&) = delete;
    ~folder() { std::filesystem::remove_all(path_); }
    [[nodiscard]] std::string operator/(const char* name) const { return (path_ / name).string(); }

 private:
    std::filesystem::path path_;
};

recorded on_path(op_code code, const std::string& path) {
    recorded made(code, AT_FDCWD);
    made.address = const_cast<char*>(path.data());
    return made;
}

recorded moving(op_code code, int fd, std::string& bytes, std::uint64_t offset) {
    recorded made = receive(fd, bytes);
    made.code = code;
    made.offset = offset;
    return made;
}

/// What became of it. A refusal is told by submit itself, and by no later completion.
int outcome(world& w, recorded& asked) {
    const bool at_once = w.start(asked);
    REQUIRE(w.finish(asked));
    CHECK(asked.seen.size() == 1);
    if (asked.result() == -EOPNOTSUPP) CHECK(at_once);
    return asked.result();
}

/// Whether it was done; else it was refused, and nothing else is allowed.
bool done(world& w, recorded asked) {
    const int result = outcome(w, asked);
    CHECK((result == 0 || result == -EOPNOTSUPP));
    return result == 0;
}

unique_fd make_file(const std::string& path, std::string_view bytes) {
    unique_fd made(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    REQUIRE(made);
    const ssize_t written = ::pwrite(made.get(), bytes.data(), bytes.size(), 0);
    REQUIRE(written == static_cast<ssize_t>(bytes.size()));
    return made;
}

bool does_files(const world& w) {
    const auto bit = static_cast<std::uint32_t>(lariat::uring_feature::file_operations);
    return w.options().backend == lariat::backend::uring && (w.options().uring_features & bit) != 0;
}

}  // namespace

LARIAT_CONTRACT_TEST("files are opened, made and removed, or that is refused at once") {
    const folder here;
    const std::string path = here / "made";
    recorded opening = on_path(op_code::open, path);
    opening.argument = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC;
    opening.length = 0640;
    const int fd = outcome(w, opening);
    if (does_files(w)) REQUIRE(fd >= 0);
    if (fd < 0) {
        CHECK(fd == -EOPNOTSUPP);
        CHECK_FALSE(std::filesystem::exists(path));
        return;
    }
    w.adopt(fd);
    CHECK(::fcntl(fd, F_GETFD) == FD_CLOEXEC);
    recorded again = on_path(op_code::open, path);
    again.argument = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC;
    CHECK(outcome(w, again) == -EEXIST);
    REQUIRE(done(w, on_path(op_code::remove, path)));
    recorded twice = on_path(op_code::remove, path);
    CHECK(outcome(w, twice) == -ENOENT);
}

LARIAT_CONTRACT_TEST("directories are made and removed, or that is refused at once") {
    const folder here;
    const std::string path = here / "folder";
    recorded making = on_path(op_code::make_directory, path);
    making.length = 0700;
    if (!done(w, making)) {
        CHECK_FALSE(does_files(w));
        return;
    }
    CHECK(std::filesystem::is_directory(path));
    recorded again = on_path(op_code::make_directory, path);
    CHECK(outcome(w, again) == -EEXIST);
    recorded removing = on_path(op_code::remove, path);
    CHECK(outcome(w, removing) == -EISDIR);
    removing = on_path(op_code::remove, path);
    removing.argument = AT_REMOVEDIR;
    REQUIRE(done(w, removing));
    CHECK_FALSE(std::filesystem::exists(path));
}

LARIAT_CONTRACT_TEST("a rename moves the name, or is refused at once") {
    const folder here;
    const std::string from = here / "from";
    const std::string to = here / "to";
    make_file(from, "x");
    const auto rename = [&](unsigned flags) {
        recorded made = on_path(op_code::rename, from);
        made.length = static_cast<std::uint32_t>(AT_FDCWD);
        made.set_second(to.data());
        made.argument = flags;
        return made;
    };
    if (!done(w, rename(0))) {
        CHECK_FALSE(does_files(w));
        return;
    }
    CHECK_FALSE(std::filesystem::exists(from));
    CHECK(std::filesystem::exists(to));
    make_file(from, "y");
    recorded other = rename(RENAME_NOREPLACE);
    CHECK(outcome(w, other) == -EEXIST);
}

LARIAT_CONTRACT_TEST("a status is that of the path or of the open file, or is refused at once") {
    const folder here;
    const std::string path = here / "file";
    const std::string nothing;
    const unique_fd file = make_file(path, "12345");
    struct statx about{};
    const auto ask = [&](int at, const std::string& name, unsigned flags) {
        recorded made = on_path(op_code::status, name);
        made.fd = at;
        made.length = STATX_BASIC_STATS;
        made.argument = flags;
        made.set_second(&about);
        about = {};
        return made;
    };
    if (!done(w, ask(AT_FDCWD, path, 0))) {
        CHECK_FALSE(does_files(w));
        return;
    }
    CHECK(about.stx_size == 5);
    REQUIRE(done(w, ask(file.get(), nothing, AT_EMPTY_PATH)));
    CHECK(about.stx_size == 5);
    recorded missing = ask(AT_FDCWD, here / "none", 0);
    CHECK(outcome(w, missing) == -ENOENT);
}

LARIAT_CONTRACT_TEST("a file is cut and brought to its disk, or that is refused at once") {
    const folder here;
    const unique_fd file = make_file(here / "file", "0123456789");
    recorded cutting(op_code::truncate, file.get());
    cutting.offset = 4;
    struct stat about{};
    const bool cut = done(w, cutting);
    REQUIRE(::fstat(file.get(), &about) == 0);
    CHECK(about.st_size == (cut ? 4 : 10));
    for (const unsigned data_alone : {0U, 1U}) {
        recorded syncing(op_code::sync, file.get());
        syncing.argument = data_alone;
        CHECK(done(w, syncing) == does_files(w));
    }
}

LARIAT_CONTRACT_TEST("a file is read and written at an offset, or that is refused at once") {
    const folder here;
    const unique_fd file = make_file(here / "file", "0123456789");
    std::string text = "xyz";
    std::string room(4, '\0');
    recorded writing = moving(op_code::write, file.get(), text, 7);
    const int wrote = outcome(w, writing);
    if (wrote == -EOPNOTSUPP) REQUIRE(::pwrite(file.get(), text.data(), 3, 7) == 3);
    CHECK((wrote == 3 || wrote == -EOPNOTSUPP));
    recorded reading = moving(op_code::read, file.get(), room, 5);
    const int got = outcome(w, reading);
    CHECK((got == 4 || got == -EOPNOTSUPP));
    if (got == 4) CHECK(room == "56xy");
    recorded behind = moving(op_code::read, file.get(), room, 100);
    const int end = outcome(w, behind);
    CHECK((end == 0 || end == -EOPNOTSUPP));
    std::string more = "end";
    recorded appending = moving(op_code::write, file.get(), more, 0);
    appending.argument = RWF_APPEND;
    const int appended = outcome(w, appending);
    CHECK((appended == 3 || appended == -EOPNOTSUPP));
    std::array<char, 16> whole{};
    REQUIRE(::pread(file.get(), whole.data(), whole.size(), 0) == (appended == 3 ? 13 : 10));
    if (appended == 3) CHECK(std::string(whole.data()) == "0123456xyzend");
    if (w.options().backend == lariat::backend::uring) CHECK(appended == 3);
}

LARIAT_CONTRACT_TEST("a bad descriptor is EBADF for what is asked of files, or that is refused") {
    std::string room(4, '\0');
    for (const op_code code : {op_code::read, op_code::write, op_code::sync, op_code::truncate}) {
        recorded doomed = moving(code, 1'000'000, room, 0);
        if (code == op_code::sync || code == op_code::truncate) doomed.address = nullptr;
        if (code == op_code::sync || code == op_code::truncate) doomed.length = 0;
        const int result = outcome(w, doomed);
        CHECK((result == -EBADF || result == -EOPNOTSUPP));
    }
}

LARIAT_CONTRACT_TEST("cancelled in any moment, an open gives a descriptor or nothing") {
    const folder here;
    const std::string path = here / "file";
    make_file(path, "x");
    for (int turns = 0; turns < 200; ++turns) {
        recorded opening = on_path(op_code::open, path);
        opening.argument = O_RDWR | O_CREAT | O_CLOEXEC;
        if (!w.start(opening)) {
            for (int i = 0; i < turns % 3; ++i) w.drive().poll(lariat::no_wait);
            if (!opening.ended()) w.cancel(opening);
            REQUIRE(w.finish(opening));
        }
        const int result = opening.result();
        CHECK((result >= 0 || result == -ECANCELED || result == -EOPNOTSUPP));
        if (result >= 0) ::close(result);  // else the world finds one too many when it goes
    }
}

TEST_CASE("a cached read takes all that was asked for, or nothing") {
    const folder here;
    const std::string path = here / "file";
    std::string room(200'000, 'x');
    const unique_fd file = make_file(path, room);
    recorded small = moving(op_code::read, file.get(), room, 100);
    small.length = 4096;
    const int got = lariat::detail::read_cached(small);
    CHECK((got == 4096 || got < -4095));  // not every file system reads so
    recorded large = moving(op_code::read, file.get(), room, 0);
    large.length = 100'000;
    CHECK(lariat::detail::read_cached(large) < -4095);
    recorded last = moving(op_code::read, file.get(), room, 199'999);
    last.length = 4096;
    CHECK(lariat::detail::read_cached(last) < -4095);
    recorded positioned = moving(op_code::read, file.get(), room, op::at_position);
    positioned.length = 4;
    CHECK(lariat::detail::read_cached(positioned) < -4095);
}
