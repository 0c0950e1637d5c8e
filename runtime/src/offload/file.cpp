#include <lariat/offload/file.hpp>

#include <lariat/base/unique_fd.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/types.h>
#include <sys/uio.h>

namespace lariat {

namespace {

/// What the kernel moves in one call (read(2), MAX_RW_COUNT).
constexpr std::size_t most_at_once = 0x7ffff000;

std::uint32_t at_once(std::size_t count) noexcept {
    return static_cast<std::uint32_t>(std::min(count, most_at_once));
}

/// open(2)'s flags, or -1 for a mode that means nothing.
int flags_of(open_mode mode) noexcept {
    const bool appends = contains(mode, open_mode::append);
    const bool reads = contains(mode, open_mode::read);
    const bool writes = contains(mode, open_mode::write) || appends;
    if (!reads && !writes) return -1;
    if (!writes && contains(mode, open_mode::truncate)) return -1;
    int flags = O_CLOEXEC | O_NOCTTY;
    flags |= !writes ? O_RDONLY : reads ? O_RDWR : O_WRONLY;
    if (appends) flags |= O_APPEND;
    if (contains(mode, open_mode::create)) flags |= O_CREAT;
    if (contains(mode, open_mode::create_new)) flags |= O_CREAT | O_EXCL;
    if (contains(mode, open_mode::truncate)) flags |= O_TRUNC;
    return flags;
}

/// Until no verb of a closing file is under way.
class idle_wait : public wait_point, public single_step {
 public:
    explicit idle_wait(detail::file_state& of) noexcept : wait_point(kind_of_wait), file_(&of) {}

    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
        party& p = party_of(frame);
        if (file_->verbs == 0) return pass(p, frame);
        file_->closer = this;
        park(p, frame);
        return true;
    }
    void await_resume() const { throw_if_cut(); }

 private:
    static void leave(waiter& w) noexcept {
        static_cast<idle_wait&>(w).file_->closer = nullptr;
        w.wake(wake_reason::cut);
    }
    static constexpr wait_kind kind_of_wait{"a file's verbs to end", &idle_wait::leave};

    detail::file_state* file_;
};

class close_wait : public detail::file_wait {
 public:
    explicit close_wait(detail::file_state& of) noexcept
        : file_wait(op_code::close), closing_(&of) {
        op::fd = of.fd;
        if (!of.by_driver) keep_off_loop();
    }
    void await_resume() {
        const lariat::result<std::uint32_t> ended = outcome();
        closing_->released = true;  // whatever it says: close(2)
        if (!ended) detail::throw_file_error(ended.error(), "close", closing_->path);
    }

 private:
    detail::file_state* closing_;
};

task<> close_in_steps(detail::file_closer closing) {
    co_await idle_wait(*closing);
    co_await close_wait(*closing);
}

task<> nothing() { co_return; }

task<> read_whole(detail::file_use of, std::uint64_t offset, mutable_bytes room) {
    std::size_t have = 0;
    while (have < room.size()) {
        const mutable_bytes rest(room.data() + have, room.size() - have);
        const std::size_t got = co_await file_read_awaiter(of.get(), offset + have, rest);
        if (got == 0) {
            throw incomplete_read("cannot read \"" + of->path + "\" as far as was asked", have);
        }
        have += got;
    }
}

task<> write_whole(detail::file_use of, std::uint64_t offset, bytes data) {
    while (!data.empty()) {
        const std::size_t taken = co_await file_write_awaiter(of.get(), offset, data, 0);
        if (taken == 0) detail::throw_file_error(system_code(-EIO), "write to", of->path);
        data = data.after(taken);
        offset += taken;
    }
}

file_type type_of(std::uint16_t mode) noexcept {
    switch (mode & S_IFMT) {
        case S_IFREG: return file_type::regular;
        case S_IFDIR: return file_type::directory;
        case S_IFLNK: return file_type::symlink;
        case S_IFIFO: return file_type::pipe;
        case S_IFSOCK: return file_type::socket;
        case S_IFCHR: return file_type::character_device;
        case S_IFBLK: return file_type::block_device;
        default: return file_type::unknown;
    }
}

file_time time_of(const struct statx_timestamp& from) noexcept {
    return file_time(std::chrono::seconds(from.tv_sec) + std::chrono::nanoseconds(from.tv_nsec));
}

file_status status_of(const struct statx& from) noexcept {
    file_status about;
    about.size = from.stx_size;
    about.type = type_of(from.stx_mode);
    about.permissions = static_cast<std::uint16_t>(from.stx_mode & 07777);
    about.owner = from.stx_uid;
    about.group = from.stx_gid;
    about.links = from.stx_nlink;
    about.inode = from.stx_ino;
    about.device = ::makedev(from.stx_dev_major, from.stx_dev_minor);
    about.allocated_bytes = from.stx_blocks * 512;  // its unit: statx(2)
    about.accessed = time_of(from.stx_atime);
    about.modified = time_of(from.stx_mtime);
    about.changed = time_of(from.stx_ctime);
    return about;
}

}  // namespace

void file::release() noexcept {
    // A close() that waits has begun it, and ends it.
    if (!std::exchange(state_->closing, true)) state_->abandon();
    state_->drop_ref();
}

open_awaiter file::open(std::string path, open_mode mode, unsigned permissions) {
    return open_awaiter(std::move(path), mode, permissions);
}

file_read_awaiter file::read_at(std::uint64_t offset, mutable_bytes room) noexcept {
    return file_read_awaiter(state_, offset, room);
}

task<> file::read_exactly_at(std::uint64_t offset, mutable_bytes room) {
    return read_whole(detail::file_use(state_), offset, room);
}

file_write_awaiter file::write_at(std::uint64_t offset, bytes data) noexcept {
    return file_write_awaiter(state_, offset, data, 0);
}

task<> file::write_all_at(std::uint64_t offset, bytes data) {
    return write_whole(detail::file_use(state_), offset, data);
}

file_write_awaiter file::append(bytes data) noexcept {
    return file_write_awaiter(state_, 0, data, RWF_APPEND);  // the offset counts for nothing
}

file_status_awaiter file::status() noexcept { return file_status_awaiter(state_); }

file_size_awaiter file::size() noexcept { return file_size_awaiter(state_); }

file_change_awaiter file::fsync() noexcept {
    return file_change_awaiter(state_, op_code::sync, "sync");
}

file_change_awaiter file::fdatasync() noexcept {
    file_change_awaiter asked(state_, op_code::sync, "sync");
    asked.op::argument = 1;
    return asked;
}

file_change_awaiter file::truncate(std::uint64_t size) noexcept {
    file_change_awaiter asked(state_, op_code::truncate, "truncate");
    asked.op::offset = size;
    return asked;
}

task<> file::close() {
    if (!is_open()) return nothing();
    return close_in_steps(detail::file_closer(*state_));
}

open_awaiter::open_awaiter(std::string path, open_mode mode, unsigned permissions) noexcept
    : path_wait(op_code::open, std::move(path)) {
    const int flags = flags_of(mode);
    if (flags < 0) refuse(system_code(-EINVAL));
    op::argument = static_cast<std::uint32_t>(flags);
    op::length = permissions;
}

lariat::result<file> open_awaiter::finish_nothrow() {
    const lariat::result<std::uint32_t> ended = outcome();
    if (!ended) return ended.error();
    unique_fd made(static_cast<int>(*ended));
    file opened(new detail::file_state(made.get(), path_, by_driver()));
    (void)made.release();
    return opened;
}

file_read_awaiter::file_read_awaiter(detail::file_state* of, std::uint64_t from,
                                     mutable_bytes room) noexcept
    : file_wait(op_code::read, of) {
    op::address = room.data();
    op::length = at_once(room.size());
    op::offset = from;
    if (from == op::at_position) refuse(system_code(-EINVAL));
}

lariat::result<std::size_t> file_read_awaiter::finish_nothrow() {
    const lariat::result<std::uint32_t> ended = outcome();
    if (!ended) return ended.error();
    return std::size_t{*ended};
}

file_write_awaiter::file_write_awaiter(detail::file_state* of, std::uint64_t at, bytes data,
                                       std::uint32_t flags) noexcept
    : file_wait(op_code::write, of) {
    op::address = const_cast<std::byte*>(data.data());  // the kernel reads it
    op::length = at_once(data.size());
    op::offset = at;
    op::argument = flags;
    if (at == op::at_position) refuse(system_code(-EINVAL));
}

lariat::result<std::size_t> file_write_awaiter::finish_nothrow() {
    const lariat::result<std::uint32_t> ended = outcome();
    if (!ended) return ended.error();
    return std::size_t{*ended};
}

file_status file_status_awaiter::await_resume() {
    return detail::value_or_throw(finish_nothrow(), "look at", file_ ? path() : path_);
}

lariat::result<file_status> file_status_awaiter::finish_nothrow() {
    const lariat::result<std::uint32_t> ended = outcome();
    if (!ended) return ended.error();
    return status_of(*reinterpret_cast<const struct statx*>(buffer_.data()));
}

lariat::result<std::uint64_t> file_size_awaiter::finish_nothrow() {
    lariat::result<file_status> about = file_status_awaiter::finish_nothrow();
    if (!about) return about.error();
    return about->size;
}

lariat::result<void> file_change_awaiter::finish_nothrow() { return outcome().error(); }

}  // namespace lariat
