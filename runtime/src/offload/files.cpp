#include <lariat/offload/files.hpp>

#include <lariat/base/unique_fd.hpp>
#include <lariat/offload/blocking.hpp>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace lariat {

namespace {

/// "cannot <what> "path" <how>: <the system's reason>"
[[noreturn]] void fail(int error, const char* what, const std::string& path, const char* how = "") {
    throw std::system_error(error, std::system_category(),
                            std::string("cannot ") + what + " \"" + path + "\"" + how);
}

template <class Call>
auto uninterrupted(Call call) {
    for (;;) {
        const auto result = call();
        if (result >= 0 || errno != EINTR) return result;
    }
}

unique_fd open_file(const std::string& path, int flags, mode_t permissions, const char* how) {
    // open(2) would take the path to end at a NUL, and so name another file.
    if (path.find('\0') != std::string::npos) fail(EINVAL, "open", path, how);
    unique_fd file(uninterrupted(
        [&] { return ::open(path.c_str(), flags | O_CLOEXEC | O_NOCTTY, permissions); }));
    if (!file) fail(errno, "open", path, how);
    return file;
}

void store(const std::string& path, std::span<const std::byte> content,
           const write_options& options) {
    int flags = O_WRONLY | O_CREAT | (options.append ? O_APPEND : O_TRUNC);
    if (options.create_new) flags |= O_EXCL;
    unique_fd file = open_file(path, flags, static_cast<mode_t>(options.permissions), " to write");
    while (!content.empty()) {
        const ssize_t taken =
            uninterrupted([&] { return ::write(file.get(), content.data(), content.size()); });
        if (taken <= 0) fail(taken < 0 ? errno : EIO, "write to", path);
        content = content.subspan(static_cast<std::size_t>(taken));
    }
    // Where close(2) is the first to know (a quota, a network's disk). After EINTR it is closed
    // too.
    if (::close(file.release()) != 0 && errno != EINTR)
        fail(errno, "close", path, " after a write");
}

std::string load(const std::string& path) {
    // The size is a hint: it is 0 under /proc, may be wrong by now, and a sparse file's may be
    // huge.
    constexpr std::size_t least = 4096;
    constexpr std::size_t most = 64 * 1024 * 1024;
    const unique_fd file = open_file(path, O_RDONLY, 0, " to read");
    struct stat about{};
    if (::fstat(file.get(), &about) != 0) fail(errno, "look at", path);
    std::string text;
    std::size_t have = 0;
    text.resize(std::clamp(static_cast<std::size_t>(about.st_size) + 1, least, most));
    for (;;) {
        const ssize_t got = uninterrupted(
            [&] { return ::read(file.get(), text.data() + have, text.size() - have); });
        if (got < 0) fail(errno, "read", path);
        if (got == 0) break;
        have += static_cast<std::size_t>(got);
        if (have == text.size()) text.resize(2 * have);
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

task<std::string> read_file(std::string path) {
    auto work = [&path] { return load(path); };
    std::string text = co_await detail::run_blocking(work);
    co_return text;
}

}  // namespace lariat
