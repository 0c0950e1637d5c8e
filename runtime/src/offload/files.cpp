#include <lariat/offload/files.hpp>

#include <lariat/base/error.hpp>
#include <lariat/base/unique_fd.hpp>
#include <lariat/offload/blocking.hpp>

#include "offload/uninterrupted.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <random>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

namespace lariat {

namespace {

using detail::uninterrupted;

/// "cannot <what> "path" <how>: <the system's reason>"
[[noreturn]] void fail(int error, const char* what, const std::string& path, const char* how = "") {
    throw std::system_error(error, std::system_category(),
                            std::string("cannot ") + what + " \"" + path + "\"" + how);
}

unique_fd open_file(const std::string& path, int flags, mode_t permissions, const char* how) {
    // open(2) would take the path to end at a NUL, and so name another file.
    if (path.find('\0') != std::string::npos) fail(EINVAL, "open", path, how);
    unique_fd file(uninterrupted(
        [&] { return ::open(path.c_str(), flags | O_CLOEXEC | O_NOCTTY, permissions); }));
    if (!file) fail(errno, "open", path, how);
    return file;
}

void write_all(int file, const std::string& path, std::span<const std::byte> content) {
    while (!content.empty()) {
        const ssize_t taken =
            uninterrupted([&] { return ::write(file, content.data(), content.size()); });
        if (taken <= 0) fail(taken < 0 ? errno : EIO, "write to", path);
        content = content.subspan(static_cast<std::size_t>(taken));
    }
}

// Where close(2) is the first to know (a quota, a network's disk). After EINTR it is closed too.
void close_written(unique_fd& file, const std::string& path, bool sync) {
    if (sync && uninterrupted([&] { return ::fsync(file.get()); }) != 0) fail(errno, "sync", path);
    if (::close(file.release()) != 0 && errno != EINTR)
        fail(errno, "close", path, " after a write");
}

/// With its last slash; empty for a name in the working directory.
std::string folder_of(const std::string& path) {
    return path.substr(0, path.find_last_of('/') + 1);
}

/// For sync_folder: it takes the right to read it, which making files in it does not.
unique_fd open_folder_of(const std::string& path) {
    const std::string folder = folder_of(path);
    unique_fd opened(uninterrupted([&] {
        return ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }));
    if (!opened) fail(errno, "open the folder of", path, " to sync it");
    return opened;
}

/// A name is on the disk when its folder is.
void sync_folder(const unique_fd& folder, const std::string& path, const char* how = "") {
    const bool synced = uninterrupted([&] { return ::fsync(folder.get()); }) == 0;
    // EINVAL: a file system whose folders need none. fsync(2).
    if (!synced && errno != EINVAL) fail(errno, "sync the folder of", path, how);
}

/// The file that a path's symbolic links lead to; it need not exist.
std::string followed(std::string path) {
    constexpr int most_links = 40;  // path_resolution(7)
    std::array<char, PATH_MAX> target{};
    for (int links = 0; links < most_links; ++links) {
        const ssize_t length = ::readlink(path.c_str(), target.data(), target.size());
        if (length <= 0) return path;  // no link; or open tells what is wrong
        const std::string next(target.data(), static_cast<std::size_t>(length));
        if (next.front() == '/') {
            path = next;
        } else {
            path = folder_of(path).append(next);
        }
    }
    fail(ELOOP, "open", path, " to write");
}

/// A file beside another whose place it takes when it is complete; else it goes.
class replacement {
 public:
    explicit replacement(const std::string& path) : path_(followed(path)) {}
    replacement(const replacement&) = delete;
    replacement& operator=(const replacement&) = delete;
    ~replacement() {
        if (!temporary_.empty()) (void)::unlink(temporary_.c_str());
    }

    /// Once. Not the constructor's: after what fails here, the destructor has a file to remove.
    void make(const write_options& options) {
        struct stat old{};
        const bool exists = ::stat(path_.c_str(), &old) == 0;
        if (exists && S_ISDIR(old.st_mode)) fail(EISDIR, "replace", path_);
        if (exists && !S_ISREG(old.st_mode)) fail(EINVAL, "replace", path_);
        // While nothing has happened yet: no rename is taken back.
        if (options.sync) folder_ = open_folder_of(path_);
        make_beside(static_cast<mode_t>(exists ? old.st_mode & 0777 : options.permissions));
        if (exists && ::fchmod(file_.get(), old.st_mode & 07777) != 0)
            fail(errno, "keep the permissions of", path_);
    }
    void fill(std::span<const std::byte> content, bool sync) {
        write_all(file_.get(), path_, content);
        close_written(file_, path_, sync);
    }
    void take_place(bool create_new) {
        const unsigned flags = create_new ? RENAME_NOREPLACE : 0;
        if (::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, path_.c_str(), flags) != 0)
            fail(errno, "replace", path_);
        temporary_.clear();
        if (folder_) sync_folder(folder_, path_, ", which has the new content");
    }

 private:
    void make_beside(mode_t permissions) {
        std::random_device random;
        std::string name;
        do {
            std::array<char, 32> last{};
            std::snprintf(last.data(), last.size(), ".lariat-%08x%08x", random(), random());
            name = folder_of(path_) + last.data();
            file_.reset(uninterrupted([&] {
                return ::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, permissions);
            }));
        } while (!file_ && errno == EEXIST);
        if (!file_) fail(errno, "make a file beside", path_);
        temporary_ = std::move(name);
    }

    std::string path_;
    std::string temporary_;  // empty, or ours to remove
    unique_fd file_;
    unique_fd folder_;  // with sync
};

void replace(const std::string& path, std::span<const std::byte> content,
             const write_options& options) {
    if (options.append) fail(EINVAL, "append to", path, " atomically");
    if (path.find('\0') != std::string::npos) fail(EINVAL, "open", path, " to write");
    replacement fresh(path);
    fresh.make(options);
    fresh.fill(content, options.sync);
    fresh.take_place(options.create_new);
}

void store(const std::string& path, std::span<const std::byte> content,
           const write_options& options) {
    if (options.atomic) return replace(path, content, options);
    int flags = O_WRONLY | O_CREAT | (options.append ? O_APPEND : O_TRUNC);
    if (options.create_new) flags |= O_EXCL;
    unique_fd file = open_file(path, flags, static_cast<mode_t>(options.permissions), " to write");
    write_all(file.get(), path, content);
    close_written(file, path, options.sync);
    if (options.sync) sync_folder(open_folder_of(path), path);
}

std::string load(const std::string& path, std::size_t limit) {
    // The size is a hint: it is 0 under /proc, may be wrong by now, and a sparse file's may be
    // huge.
    constexpr std::size_t least = 4096;
    constexpr std::size_t most = 64 * 1024 * 1024;
    const std::size_t room = limit + (limit != ~std::size_t{0} ? 1 : 0);  // one tells of too much
    const unique_fd file = open_file(path, O_RDONLY, 0, " to read");
    struct stat about{};
    if (::fstat(file.get(), &about) != 0) fail(errno, "look at", path);
    std::string text;
    std::size_t have = 0;
    const std::size_t hint = std::clamp(static_cast<std::size_t>(about.st_size) + 1, least, most);
    text.resize(std::min(hint, room));
    for (;;) {
        const ssize_t got = uninterrupted(
            [&] { return ::read(file.get(), text.data() + have, text.size() - have); });
        if (got < 0) fail(errno, "read", path);
        if (got == 0) break;
        have += static_cast<std::size_t>(got);
        if (have > limit) {
            throw limit_error("cannot read \"" + path + "\" within " + std::to_string(limit) +
                              " bytes");
        }
        if (have == text.size()) text.resize(std::min(2 * have, room));
    }
    text.resize(have);
    return text;
}

}  // namespace

namespace detail {

task<> write_bytes(std::string path, std::span<const std::byte> content, write_options options) {
    auto work = [&path, &options, content] { store(path, content, options); };
    co_await run_blocking(work);
}

}  // namespace detail

task<std::string> read_file(std::string path, read_options options) {
    auto work = [&path, &options] { return load(path, options.limit); };
    std::string text = co_await detail::run_blocking(work);
    co_return text;
}

}  // namespace lariat
