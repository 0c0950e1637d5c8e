#include <lariat/offload/file_wait.hpp>

#include <lariat/base/assert.hpp>

#include "offload/uninterrupted.hpp"

#include <cerrno>
#include <cstdio>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

namespace lariat::detail {

namespace {

static_assert(sizeof(struct statx) <= 256 && alignof(struct statx) <= 8);

/// As a ring's completion has it.
template <class Call>
std::int32_t outcome_of(Call call) noexcept {
    const auto result = uninterrupted(call);
    return result >= 0 ? static_cast<std::int32_t>(result) : -errno;
}

std::int32_t move_bytes(const op& o) noexcept {
    const iovec part{o.address, o.length};
    const auto at = static_cast<off_t>(o.offset);
    const auto flags = static_cast<int>(o.argument);
    if (o.code == op_code::read)
        return outcome_of([&] { return ::preadv2(o.fd, &part, 1, at, flags); });
    return outcome_of([&] { return ::pwritev2(o.fd, &part, 1, at, flags); });
}

// After EINTR it is closed too, on Linux: it is never asked again (close(2)).
std::int32_t close_once(int fd) noexcept { return ::close(fd) == 0 || errno == EINTR ? 0 : -errno; }

}  // namespace

std::int32_t perform(const op& what) noexcept {
    const auto* path = static_cast<const char*>(what.address);
    const auto flags = static_cast<int>(what.argument);
    switch (what.code) {
        case op_code::read:
        case op_code::write: return move_bytes(what);
        case op_code::open:
            return outcome_of([&] { return ::openat(what.fd, path, flags, what.length); });
        case op_code::status:
            return outcome_of([&] {
                return ::statx(what.fd, path, flags, what.length,
                               static_cast<struct statx*>(what.second()));
            });
        case op_code::sync:
            return outcome_of([&] { return flags != 0 ? ::fdatasync(what.fd) : ::fsync(what.fd); });
        case op_code::truncate:
            return outcome_of(
                [&] { return ::ftruncate(what.fd, static_cast<off_t>(what.offset)); });
        case op_code::rename:
            return outcome_of([&] {
                return ::renameat2(what.fd, path, static_cast<int>(what.length),
                                   static_cast<const char*>(what.second()), what.argument);
            });
        case op_code::remove: return outcome_of([&] { return ::unlinkat(what.fd, path, flags); });
        case op_code::make_directory:
            return outcome_of([&] { return ::mkdirat(what.fd, path, what.length); });
        case op_code::close: return close_once(what.fd);
        default: return -EINVAL;
    }
}

void throw_file_error(std::error_code code, std::string_view verb, std::string_view path,
                      std::string_view detail) {
    std::string what = "cannot ";
    what.append(verb).append(" \"").append(path).append("\"").append(detail);
    throw_error(code, what);
}

void file_state::verb_ended() noexcept {
    if (--verbs != 0) return;
    if (closer != nullptr) return std::exchange(closer, nullptr)->wake();
    if (abandoned) release();
}

void file_state::abandon() noexcept {
    abandoned = true;
    if (verbs == 0) release();
}

void file_state::release() noexcept {
    if (std::exchange(released, true)) return;
    const int kept = errno;
    (void)::close(fd);
    errno = kept;
}

namespace {

op plain(op_code code) noexcept {
    op asked;
    asked.code = code;
    asked.fd = AT_FDCWD;
    return asked;
}

}  // namespace

file_wait::file_wait(op_code what) noexcept : io_awaiter(plain(what)) {}

file_wait::file_wait(op_code what, file_state* of) noexcept
    : io_awaiter(plain(what)), file_(of), of_file_(true) {}

file_wait::file_wait(file_wait&& other) noexcept
    : io_awaiter(static_cast<io_awaiter&&>(other)),
      file_(std::move(other.file_)),
      refusal_(other.refusal_),
      of_file_(other.of_file_),
      off_loop_(other.off_loop_) {}

bool file_wait::begin() noexcept {
    if (refusal_) return false;
    if (!of_file_) return true;
    if (!file_ || file_->closing) {
        refusal_ = errc::closed;
        return false;
    }
    file_.begin();
    op::fd = file_->fd;
    return true;
}

lariat::result<std::uint32_t> file_wait::outcome() {
    file_.end();
    if (refusal_) return refusal_;
    const std::int32_t ended = pooled_ ? (*pooled_)->await_resume() : finish();
    if (ended < 0) return system_code(ended);
    return static_cast<std::uint32_t>(ended);
}

std::string_view file_wait::path() const noexcept {
    return file_ ? std::string_view(file_->path) : std::string_view("a closed file");
}

path_wait::path_wait(op_code what, std::string path) noexcept
    : file_wait(what), path_(std::move(path)) {
    check(path_);
}

void path_wait::check(const std::string& path) noexcept {
    // The kernel would take the path to end at a NUL, and so name another file.
    if (path.find('\0') != std::string::npos) refuse(system_code(-EINVAL));
}

status_wait::status_wait(std::string path, std::uint32_t flags) noexcept
    : path_wait(op_code::status, std::move(path)) {
    op::argument = flags;
    op::length = STATX_BASIC_STATS;
}

status_wait::status_wait(file_state* of) noexcept : path_wait(op_code::status, of) {
    op::argument = AT_EMPTY_PATH;
    op::length = STATX_BASIC_STATS;
}

}  // namespace lariat::detail
