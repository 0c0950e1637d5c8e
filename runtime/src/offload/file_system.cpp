#include <lariat/offload/file_system.hpp>

#include <lariat/base/unique_fd.hpp>
#include <lariat/offload/blocking.hpp>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <iterator>
#include <memory>
#include <string_view>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

namespace lariat {

namespace {

file_type type_of(unsigned char kind) noexcept {
    switch (kind) {
        case DT_REG: return file_type::regular;
        case DT_DIR: return file_type::directory;
        case DT_LNK: return file_type::symlink;
        case DT_FIFO: return file_type::pipe;
        case DT_SOCK: return file_type::socket;
        case DT_CHR: return file_type::character_device;
        case DT_BLK: return file_type::block_device;
        default: return file_type::unknown;
    }
}

/// Reads a directory on a thread that may block.
class directory_reader {
 public:
    explicit directory_reader(const std::string& path) : path_(path) {}

    void open() {
        if (path_.find('\0') != std::string::npos) fail(EINVAL, "open");
        do {
            folder_.reset(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        } while (!folder_ && errno == EINTR);
        if (!folder_) fail(errno, "open");
        records_ = std::make_unique<std::array<std::byte, 32 * 1024>>();
    }

    /// None at the end.
    [[nodiscard]] std::vector<directory_entry> next() {
        std::vector<directory_entry> some;
        while (some.empty()) {
            const ssize_t got = ::getdents64(folder_.get(), records_->data(), records_->size());
            if (got < 0) fail(errno, "read");
            if (got == 0) break;
            take(static_cast<std::size_t>(got), some);
        }
        return some;
    }

 private:
    [[noreturn]] void fail(int error, const char* verb) const {
        detail::throw_file_error(system_code(-error), std::string(verb) + " directory", path_);
    }

    void take(std::size_t bytes, std::vector<directory_entry>& into) const {
        for (std::size_t at = 0; at < bytes;) {
            const auto* record = reinterpret_cast<const dirent64*>(records_->data() + at);
            at += record->d_reclen;
            const std::string_view name(record->d_name);
            if (name == "." || name == "..") continue;
            directory_entry& entry = into.emplace_back();
            entry.name = name;
            entry.type = type_of(record->d_type);
        }
    }

    const std::string& path_;
    unique_fd folder_;
    std::unique_ptr<std::array<std::byte, 32 * 1024>> records_;
};

}  // namespace

path_change_awaiter::path_change_awaiter(op_code what, const char* verb, std::string path,
                                         std::uint32_t flags, std::uint32_t permissions) noexcept
    : path_wait(what, std::move(path)), verb_(verb) {
    op::argument = flags;
    op::length = permissions;
}

rename_awaiter::rename_awaiter(std::string from, std::string to, std::uint32_t flags) noexcept
    : path_wait(op_code::rename, std::move(from)), to_(std::move(to)) {
    op::length = static_cast<std::uint32_t>(AT_FDCWD);
    op::argument = flags;
    check(to_);
}

void rename_awaiter::await_resume() {
    const lariat::result<void> ended = finish_nothrow();
    if (!ended) detail::throw_file_error(ended.error(), "rename", path_, " to \"" + to_ + "\"");
}

file_status_awaiter stat_file(std::string path) noexcept {
    return file_status_awaiter(std::move(path), 0);
}
file_status_awaiter stat_link(std::string path) noexcept {
    return file_status_awaiter(std::move(path), AT_SYMLINK_NOFOLLOW);
}
rename_awaiter rename_file(std::string from, std::string to) noexcept {
    return rename_awaiter(std::move(from), std::move(to), 0);
}
rename_awaiter rename_new(std::string from, std::string to) noexcept {
    return rename_awaiter(std::move(from), std::move(to), RENAME_NOREPLACE);
}
path_change_awaiter remove_file(std::string path) noexcept {
    return path_change_awaiter(op_code::remove, "remove", std::move(path));
}
path_change_awaiter make_directory(std::string path, std::uint32_t permissions) noexcept {
    return path_change_awaiter(op_code::make_directory, "make directory", std::move(path), 0,
                               permissions);
}
path_change_awaiter remove_directory(std::string path) noexcept {
    return path_change_awaiter(op_code::remove, "remove directory", std::move(path), AT_REMOVEDIR);
}

task<std::vector<directory_entry>> read_directory(std::string path) {
    auto read_all = [&path] {
        directory_reader reader(path);
        reader.open();
        std::vector<directory_entry> all = reader.next();
        for (std::vector<directory_entry> more = reader.next(); !more.empty();
             more = reader.next()) {
            all.insert(all.end(), std::make_move_iterator(more.begin()),
                       std::make_move_iterator(more.end()));
        }
        return all;
    };
    std::vector<directory_entry> all = co_await detail::run_blocking(read_all);
    co_return all;
}

async_generator<std::vector<directory_entry>> directory_batches(std::string path) {
    directory_reader reader(path);
    auto open_it = [&reader] {
        reader.open();
        return reader.next();
    };
    auto read_on = [&reader] { return reader.next(); };
    std::vector<directory_entry> some = co_await detail::run_blocking(open_it);
    while (!some.empty()) {
        co_yield std::move(some);
        some = co_await detail::run_blocking(read_on);
    }
}

}  // namespace lariat
