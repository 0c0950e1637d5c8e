// An atomic write whose single steps fail: what is left is the old file, or the new one.
#include <lariat/offload/files.hpp>

#include "scratch.hpp"

#include <lariat/loop/loop.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <cerrno>
#include <string>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {
std::atomic<bool> modes_are_refused{false};
std::atomic<bool> folders_do_not_sync{false};
}  // namespace

// In place of libc's, for all of this program: no file system at hand fails them when asked to.
int fchmod(int file, mode_t mode) noexcept {
    if (modes_are_refused) {
        errno = EPERM;
        return -1;
    }
    return static_cast<int>(::syscall(SYS_fchmod, file, mode));
}
int fsync(int file) {
    struct stat about{};
    if (folders_do_not_sync && ::fstat(file, &about) == 0 && S_ISDIR(about.st_mode)) {
        errno = EIO;
        return -1;
    }
    return static_cast<int>(::syscall(SYS_fsync, file));
}

namespace {

using namespace lariat;
using lariat::test::scratch;

/// Set for as long as it lives.
class failing {
 public:
    explicit failing(std::atomic<bool>& which) : which_(which) { which_ = true; }
    failing(const failing&) = delete;
    ~failing() { which_ = false; }

 private:
    std::atomic<bool>& which_;
};

/// Root may read every folder; this takes that right away, of all threads, for as long as it lives.
class no_root {
 public:
    no_root() : changed_(::geteuid() == 0 && ::seteuid(nobody) == 0) {}
    no_root(const no_root&) = delete;
    ~no_root() {
        if (!changed_) return;
        CHECK(::seteuid(0) == 0);
        ::prctl(PR_SET_DUMPABLE, 1);  // a change of user clears it: leak checkers need it
    }

 private:
    static constexpr uid_t nobody = 65534;
    bool changed_;
};

write_options to_the_disk() {
    write_options options;
    options.atomic = true;
    options.sync = true;
    return options;
}

/// The code and the words of what an atomic write fails with.
std::system_error failure_of_writing(const std::string& name, const char* content) {
    try {
        run(write_file(name, content, to_the_disk()));
    } catch (const std::system_error& error) {
        return error;
    }
    FAIL("it did not fail");
    return std::system_error(std::error_code());
}

TEST_CASE_FIXTURE(scratch, "files: an atomic write that cannot keep permissions leaves no file") {
    const std::string name = path("file");
    run(write_file(name, "old"));
    {
        const failing refused(modes_are_refused);
        const std::system_error error = failure_of_writing(name, "new");
        CHECK(std::string(error.what()) ==
              "cannot keep the permissions of \"" + name + "\": Operation not permitted");
    }
    CHECK(run(read_file(name)) == "old");
    CHECK(names() == std::vector<std::string>{"file"});
}

TEST_CASE_FIXTURE(scratch, "files: an atomic write looks for its folder before it replaces") {
    const std::string folder = path("closed");
    const std::string name = folder + "/file";
    REQUIRE(::mkdir(folder.c_str(), 0700) == 0);
    run(write_file(name, "old"));
    // What is there may be written and named by all; which names there are, nobody may read.
    REQUIRE(::chmod(path("").c_str(), 0711) == 0);
    REQUIRE(::chmod(folder.c_str(), 0333) == 0);
    {
        const no_root ordinary;
        // Root in a namespace that has no other user.
        if (::faccessat(AT_FDCWD, folder.c_str(), R_OK, AT_EACCESS) == 0) return;
        const std::system_error error = failure_of_writing(name, "new");
        CHECK(error.code() == std::errc::permission_denied);
        CHECK(std::string(error.what()) ==
              "cannot open the folder of \"" + name + "\" to sync it: Permission denied");
    }
    REQUIRE(::chmod(folder.c_str(), 0700) == 0);
    CHECK(run(read_file(name)) == "old");
    CHECK(::unlink(name.c_str()) == 0);
    CHECK(::rmdir(folder.c_str()) == 0);  // nothing was left beside it
}

TEST_CASE_FIXTURE(scratch, "files: an atomic write whose folder does not sync says it replaced") {
    const std::string name = path("file");
    run(write_file(name, "old"));
    {
        const failing lost(folders_do_not_sync);
        const std::system_error error = failure_of_writing(name, "new");
        CHECK(std::string(error.what()) == "cannot sync the folder of \"" + name +
                                               "\", which has the new content: "
                                               "Input/output error");
    }
    CHECK(run(read_file(name)) == "new");
    CHECK(names() == std::vector<std::string>{"file"});
}

}  // namespace
