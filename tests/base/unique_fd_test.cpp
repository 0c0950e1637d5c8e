#include <lariat/base/unique_fd.hpp>

#include <doctest/doctest.h>

#include <cerrno>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

namespace {

using lariat::unique_fd;

int open_one() {
    const int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    REQUIRE(fd >= 0);
    return fd;
}
bool is_open(int fd) { return ::fcntl(fd, F_GETFD) != -1; }

TEST_CASE("unique_fd: closes what it holds when it goes") {
    const int fd = open_one();
    {
        const unique_fd owner(fd);
        CHECK(owner);
        CHECK(owner.get() == fd);
        CHECK(is_open(fd));
    }
    CHECK_FALSE(is_open(fd));
}

TEST_CASE("unique_fd: an empty one holds nothing and closes nothing") {
    unique_fd none;
    CHECK_FALSE(none);
    CHECK(none.get() == -1);
    errno = 0;
    none.reset();
    CHECK(errno == 0);
    CHECK(none.release() == -1);
}

TEST_CASE("unique_fd: descriptor 0 is one like any other") {
    unique_fd zero(0);
    CHECK(zero);
    CHECK(zero.release() == 0);
}

TEST_CASE("unique_fd: moving hands over, and what the target held is closed") {
    const int first = open_one();
    const int second = open_one();
    unique_fd a(first);
    unique_fd b(std::move(a));
    CHECK_FALSE(a);
    CHECK(b.get() == first);
    unique_fd c(second);
    c = std::move(b);
    CHECK(c.get() == first);
    CHECK_FALSE(is_open(second));
    unique_fd& same = c;
    c = std::move(same);
    CHECK(c.get() == first);
    CHECK(is_open(first));
}

TEST_CASE("unique_fd: what is released stays open, what is replaced is closed") {
    const int first = open_one();
    unique_fd owner(first);
    CHECK(owner.release() == first);
    CHECK_FALSE(owner);
    CHECK(is_open(first));
    owner.reset(first);
    const int second = open_one();
    owner.reset(second);
    CHECK_FALSE(is_open(first));
    CHECK(owner.get() == second);
}

TEST_CASE("unique_fd: closing keeps errno, so that an error on its way stays readable") {
    unique_fd owner(open_one());
    ::close(owner.get());  // closing it again will fail
    errno = ECONNRESET;
    owner.reset();
    CHECK(errno == ECONNRESET);
}

}  // namespace
