// Reading 4 KiB of a file that is in the page cache: as read_at does it, and by each of the ways it
// could: the ring, and the pool of threads.
#include <lariat/base/unique_fd.hpp>
#include <lariat/lariat.hpp>
#include <lariat/offload/blocking.hpp>

#include <array>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "benches.hpp"

namespace {

using bench::wall_watch;

constexpr std::size_t piece = 4096;
constexpr std::size_t pieces = 256;
constexpr std::size_t rounds = 20'000;

/// A file of 1 MiB that goes when it is closed.
class sample_file {
 public:
    sample_file() {
        std::string name = "lariat-bench-XXXXXX";
        fd_ = lariat::unique_fd(::mkostemp(name.data(), O_CLOEXEC));
        const std::string bytes(piece * pieces, 'x');
        const ssize_t written = ::write(fd_.get(), bytes.data(), bytes.size());
        if (written != static_cast<ssize_t>(bytes.size()))
            throw std::runtime_error("no room for a file in the working directory");
        path_ = "/proc/self/fd/" + std::to_string(fd_.get());
        ::unlink(name.c_str());
    }
    [[nodiscard]] int descriptor() const { return fd_.get(); }
    [[nodiscard]] const std::string& path() const { return path_; }

 private:
    lariat::unique_fd fd_;
    std::string path_;
};

void expect_all(std::size_t got) {
    if (got != piece) throw std::runtime_error("a read of a cached file came short");
}

/// The same bytes by an entry of the ring: a flag that means nothing to a read keeps the driver
/// from doing it at once.
class ring_read : public lariat::io_awaiter {
 public:
    ring_read(int file, std::uint64_t from, void* room) : io_awaiter(asked(file, from, room)) {}
    std::size_t await_resume() const { return static_cast<std::size_t>(finish()); }

 private:
    static lariat::op asked(int file, std::uint64_t from, void* room) {
        lariat::op made;
        made.code = lariat::op_code::read;
        made.fd = file;
        made.offset = from;
        made.address = room;
        made.length = piece;
        made.argument = RWF_DSYNC;
        return made;
    }
};

lariat::task<> read_at_once(const sample_file& from, std::size_t count) {
    lariat::file opened = co_await lariat::file::open(from.path());
    std::array<char, piece> room{};
    for (std::size_t i = 0; i < count; ++i) {
        const std::size_t got = co_await opened.read_at(i % pieces * piece, room);
        expect_all(got);
    }
}

lariat::task<> read_by_ring(const sample_file& from, std::size_t count) {
    std::array<char, piece> room{};
    for (std::size_t i = 0; i < count; ++i) {
        const std::size_t got =
            co_await ring_read(from.descriptor(), i % pieces * piece, room.data());
        expect_all(got);
    }
}

lariat::task<> read_on_pool(const sample_file& from, std::size_t count) {
    std::array<char, piece> room{};
    for (std::size_t i = 0; i < count; ++i) {
        auto work = [&from, &room, i] {
            return ::pread(from.descriptor(), room.data(), piece,
                           static_cast<off_t>(i % pieces * piece));
        };
        const ssize_t got = co_await lariat::detail::run_blocking(work);
        expect_all(static_cast<std::size_t>(got));
    }
}

using reader = lariat::task<> (*)(const sample_file&, std::size_t);

lariat::task<double> microseconds(reader read, std::size_t tasks, std::size_t count) {
    const sample_file from;
    std::vector<lariat::task<>> all;
    for (std::size_t i = 0; i < tasks; ++i) all.push_back(read(from, count / tasks));
    const wall_watch watch;
    co_await lariat::gather(std::move(all));
    co_return watch.each(count) / 1e3;
}

bool rings() {
    const lariat::loop own;
    return own.stats().driver.backend == lariat::backend::uring;
}

void add_both(bench::suite& all, const std::string& how, reader read, std::size_t count) {
    all.add("read 4 KiB, cached: " + how, "us", 0,
            [=] { return lariat::run(microseconds(read, 1, count)); });
    all.add("read 4 KiB, cached: " + how + ", 32 at once", "us", 0,
            [=] { return lariat::run(microseconds(read, 32, count)); });
}

}  // namespace

void bench::file_benches(suite& all) {
    add_both(all, "read_at", &read_at_once, rounds);
    if (rings()) add_both(all, "an entry of the ring", &read_by_ring, rounds);
    add_both(all, "a thread of the pool", &read_on_pool, rounds / 4);
}
