// Single operations: what is retried unseen, what a cancellation may and may not do.
#include "uring_support.hpp"

#include "driver/uring/abi.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <deque>
#include <random>

#include <doctest/doctest.h>
#include <liburing.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>

using namespace uring_test;

namespace {

volatile std::sig_atomic_t pipe_signals = 0;

struct pipe_signal_watch {
    struct sigaction before{};
    pipe_signal_watch() {
        pipe_signals = 0;
        struct sigaction counting{};
        counting.sa_handler = [](int) { pipe_signals = pipe_signals + 1; };
        ::sigaction(SIGPIPE, &counting, &before);
    }
    ~pipe_signal_watch() { ::sigaction(SIGPIPE, &before, nullptr); }
};

recorded read_of(int fd, void* buffer, std::uint32_t bytes) {
    recorded made(op_code::read, fd);
    made.address = buffer;
    made.length = bytes;
    return made;
}

}  // namespace

TEST_CASE("uring: a non-blocking socket waits like any other" * doctest::skip(left_out())) {
    for (const std::uint32_t features : kernels) {
        CAPTURE(features);
        uring_driver driver(options_with(features));
        const listener server(SOCK_NONBLOCK);
        recorded accepting(op_code::accept, server.fd.get());
        driver.submit(accepting);
        driver.poll(lariat::no_wait);
        CHECK(accepting.seen.empty());
        const unique_fd caller(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
        recorded connecting(op_code::connect, caller.get());
        auto address = server.address;
        connecting.address = &address;
        connecting.length = sizeof address;
        driver.submit(connecting);
        CHECK(turn_until(driver, [&] { return connecting.ended() && accepting.ended(); }));
        CHECK(connecting.result() == 0);
        const unique_fd taken(accepting.result());
        CHECK(taken.get() >= 0);
        std::array<char, 8> buffer{};
        auto receiving = receive(caller.get(), buffer.data(), buffer.size());
        driver.submit(receiving);
        driver.poll(lariat::no_wait);
        CHECK(receiving.seen.empty());
        put(taken, "hello");
        CHECK(turn_until(driver, [&] { return receiving.ended(); }));
        CHECK(receiving.result() == 5);
    }
}

TEST_CASE("uring: a refused connection says so on a non-blocking socket" *
          doctest::skip(left_out())) {
    uring_driver driver(driver_options{});
    sockaddr_in address = listener().address;  // closed again: nobody listens there
    for (const int flags : {0, int{SOCK_NONBLOCK}}) {
        const unique_fd caller(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0));
        recorded connecting(op_code::connect, caller.get());
        connecting.address = &address;
        connecting.length = sizeof address;
        driver.submit(connecting);
        CHECK(turn_until(driver, [&] { return connecting.ended(); }));
        CHECK(connecting.result() == -ECONNREFUSED);
    }
}

TEST_CASE("uring: reads of non-blocking descriptors of every kind wait" *
          doctest::skip(left_out())) {
    std::array<int, 2> ends{};
    REQUIRE(::pipe2(ends.data(), O_NONBLOCK | O_CLOEXEC) == 0);
    const unique_fd out(ends[0]);
    const unique_fd in(ends[1]);
    const unique_fd event(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    const unique_fd timer(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
    const unique_fd watch(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
    REQUIRE(::inotify_add_watch(watch.get(), "/proc/self/comm", IN_OPEN) >= 0);
    uring_driver driver(driver_options{});
    std::array<std::array<char, 64>, 4> buffers{};
    std::deque<recorded> reads;
    for (const unique_fd* each : {&out, &event, &timer, &watch})
        reads.push_back(read_of(each->get(), buffers[reads.size()].data(),
                                each == &event || each == &timer ? 8 : 64));
    for (recorded& each : reads) driver.submit(each);
    for (int turns = 0; turns < 5; ++turns) driver.poll(lariat::no_wait);
    for (const recorded& each : reads) CHECK(each.seen.empty());
    const std::uint64_t one = 1;
    CHECK(::write(in.get(), "pipe", 4) == 4);
    CHECK(::write(event.get(), &one, sizeof one) == sizeof one);
    itimerspec soon{};
    soon.it_value.tv_nsec = 1000;
    CHECK(::timerfd_settime(timer.get(), 0, &soon, nullptr) == 0);
    unique_fd(::open("/proc/self/comm", O_RDONLY | O_CLOEXEC)).reset();
    CHECK(turn_until(driver, [&] {
        for (const recorded& each : reads)
            if (!each.ended()) return false;
        return true;
    }));
    CHECK(reads[0].result() == 4);
    CHECK(reads[1].result() == 8);
    CHECK(reads[2].result() == 8);
    CHECK(reads[3].result() > 0);
}

TEST_CASE("uring: a wait for readiness that was put in unseen is cancelled like the rest" *
          doctest::skip(left_out())) {
    const unique_fd timer(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
    const unique_fd watch(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
    uring_driver driver(driver_options{});
    for (const unique_fd* each : {&timer, &watch}) {
        std::array<char, 8> buffer{};
        auto reading = read_of(each->get(), buffer.data(), 8);
        driver.submit(reading);
        for (int turns = 0; turns < 5; ++turns) driver.poll(lariat::no_wait);
        driver.cancel(reading);
        CHECK(turn_until(driver, [&] { return reading.ended(); }));
        CHECK(reading.seen.size() == 1);
        CHECK(reading.result() == -ECANCELED);
    }
}

TEST_CASE("uring: MSG_DONTWAIT is answered, not waited for" * doctest::skip(left_out())) {
    for (const int flags : {0, int{SOCK_NONBLOCK}}) {
        uring_driver driver(driver_options{});
        const pair sockets(flags);
        std::array<char, 8> buffer{};
        auto receiving = receive(sockets.near.get(), buffer.data(), buffer.size());
        receiving.argument = MSG_DONTWAIT;
        driver.submit(receiving);
        CHECK(turn_until(driver, [&] { return receiving.ended(); }));
        CHECK(receiving.result() == -EAGAIN);
    }
}

TEST_CASE("uring: a socket the kernel will not wait for is waited for all the same" *
          doctest::skip(left_out())) {
    uring_seam seam;
    seam.entry = [](io_uring_sqe& entry) noexcept {
        if (entry.opcode == IORING_OP_RECV || entry.opcode == IORING_OP_SEND)
            entry.msg_flags |= MSG_DONTWAIT;
    };
    uring_driver driver(driver_options{}, seam);
    const pair sockets;
    std::string bytes(1 << 20, 'x');
    std::size_t sent = 0;
    std::size_t received = 0;
    std::string into(1 << 16, ' ');
    auto sending = transmit(sockets.near.get(), bytes);
    auto receiving = receive(sockets.far.get(), into.data(), 1 << 16);
    driver.submit(receiving);
    driver.poll(lariat::no_wait);
    driver.submit(sending);
    CHECK(turn_until(driver, [&] {
        for (recorded* each : {&sending, &receiving}) {
            if (!each->ended()) continue;
            CHECK(each->result() > 0);
            std::size_t& count = each == &sending ? sent : received;
            count += static_cast<std::size_t>(std::max(each->result(), 0));
            each->seen.clear();
            if (each == &sending) {
                each->address = bytes.data() + sent;
                each->length = static_cast<std::uint32_t>(bytes.size() - sent);
            }
            if (count < bytes.size()) driver.submit(*each);
        }
        return received == bytes.size();
    }));
    CHECK(sent == bytes.size());
}

TEST_CASE("uring: a kernel that does not know how to write without a signal writes anyway" *
          doctest::skip(left_out())) {
    uring_seam seam;
    seam.entry = [](io_uring_sqe& entry) noexcept {
        if (entry.opcode == IORING_OP_WRITE && entry.rw_flags != 0) entry.rw_flags = 1 << 30;
    };
    uring_driver driver(driver_options{}, seam);
    std::array<int, 2> ends{};
    REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
    const unique_fd out(ends[0]);
    const unique_fd in(ends[1]);
    std::string word = "word";
    std::deque<recorded> writes;
    for (int n = 0; n < 3; ++n) {
        writes.emplace_back(op_code::write, in.get());
        writes.back().address = word.data();
        writes.back().length = 4;
        driver.submit(writes.back());
    }
    CHECK(turn_until(driver, [&] { return driver.stats().in_flight == 0; }));
    for (const recorded& each : writes) CHECK(each.result() == 4);
}

TEST_CASE("uring: a pipe nobody reads is an error and, where the kernel can, no signal" *
          doctest::skip(left_out())) {
    const pipe_signal_watch watch;
    uring_driver driver(driver_options{});
    std::array<int, 2> ends{};
    REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
    unique_fd(ends[0]).reset();
    const unique_fd in(ends[1]);
    std::string word = "word";
    recorded writing(op_code::write, in.get());
    writing.address = word.data();
    writing.length = 4;
    driver.submit(writing);
    CHECK(turn_until(driver, [&] { return writing.ended(); }));
    CHECK(writing.result() == -EPIPE);
    iovec part{word.data(), 4};
    const bool can = ::pwritev2(in.get(), &part, 1, -1, lariat::detail::abi::write_no_signal) < 0 &&
                     errno == EPIPE;  // RWF_NOSIGNAL
    CHECK(pipe_signals == (can ? 0 : 1));
}

TEST_CASE("uring: a full unix listener refuses a non-blocking caller and does not spin" *
          doctest::skip(left_out())) {
    uring_driver driver(driver_options{});
    const unique_fd server(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    socklen_t size = sizeof address;
    auto* general = reinterpret_cast<sockaddr*>(&address);
    REQUIRE(::bind(server.get(), general, sizeof(sa_family_t)) == 0);  // a name of the kernel's
    REQUIRE(::getsockname(server.get(), general, &size) == 0);
    REQUIRE(::listen(server.get(), 0) == 0);
    std::deque<unique_fd> callers;
    int last = 0;
    for (int n = 0; n < 4 && last == 0; ++n) {
        callers.emplace_back(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
        recorded connecting(op_code::connect, callers.back().get());
        connecting.address = &address;
        connecting.length = size;
        driver.submit(connecting);
        CHECK(turn_until(driver, [&] { return connecting.ended(); }));
        last = connecting.result();
    }
    CHECK(last == -EAGAIN);
    CHECK(driver.stats().kernel_entries < 50);
}

TEST_CASE("uring: a peer that is gone is an error and no signal" * doctest::skip(left_out())) {
    const pipe_signal_watch watch;
    uring_driver driver(driver_options{});
    pair sockets;
    sockets.far.reset();
    auto sending = transmit(sockets.near.get(), "nobody hears");
    msghdr message{};
    iovec part{const_cast<char*>("nobody"), 6};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    recorded message_sending(op_code::send_msg, sockets.near.get());
    message_sending.address = &message;
    driver.submit(sending);
    driver.submit(message_sending);
    CHECK(turn_until(driver, [&] { return sending.ended() && message_sending.ended(); }));
    CHECK(sending.result() == -EPIPE);
    CHECK(message_sending.result() == -EPIPE);
    CHECK(pipe_signals == 0);
}

TEST_CASE("uring: files are read and written at an offset and at the position" *
          doctest::skip(left_out())) {
    uring_driver driver(driver_options{});
    const unique_fd file(::open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    REQUIRE(file.get() >= 0);
    const auto run = [&](op_code code, void* address, std::uint32_t bytes, std::uint64_t offset) {
        recorded made(code, file.get());
        made.address = address;
        made.length = bytes;
        made.offset = offset;
        if (driver.submit(made)) return made.op::result;
        CHECK(turn_until(driver, [&] { return made.ended(); }));
        return made.result();
    };
    std::string words = "position";
    CHECK(run(op_code::write, words.data(), 8, op::at_position) == 8);
    CHECK(run(op_code::write, words.data(), 3, 100) == 3);
    CHECK(run(op_code::read, words.data(), 8, op::at_position) == 8);
    CHECK(words == std::string(8, '\0'));
    CHECK(run(op_code::read, words.data(), 8, 0) == 8);
    CHECK(words == "position");
    CHECK(run(op_code::read, words.data(), 8, 1000) == 0);
}

TEST_CASE("uring: poll reports what holds, close closes" * doctest::skip(left_out())) {
    uring_driver driver(driver_options{});
    pair sockets;
    put(sockets.far, "x");
    recorded polling(op_code::poll, sockets.near.get());
    polling.argument = POLLIN | POLLOUT;
    driver.submit(polling);
    CHECK(turn_until(driver, [&] { return polling.ended(); }));
    CHECK(polling.result() == (POLLIN | POLLOUT));
    const int number = sockets.near.release();
    recorded closing(op_code::close, number);
    driver.submit(closing);
    CHECK(turn_until(driver, [&] { return closing.ended(); }));
    CHECK(closing.result() == 0);
    CHECK(::fcntl(number, F_GETFD) == -1);
}

TEST_CASE("uring: data and cancellation race; the operation's own completion decides" *
          doctest::skip(left_out())) {
    uring_driver driver(driver_options{});
    const pair sockets;
    std::minstd_rand0 random(7);
    std::size_t sent = 0;
    std::size_t got = 0;
    for (int round = 0; round < 3000; ++round) {
        std::array<char, 64> buffer{};
        auto receiving = receive(sockets.near.get(), buffer.data(), buffer.size());
        driver.submit(receiving);
        if (random() % 2 != 0) driver.poll(lariat::no_wait);
        const bool put_first = random() % 2 != 0;
        if (put_first) {
            put(sockets.far, "x");
            ++sent;
        }
        driver.cancel(receiving);
        if (!put_first && random() % 2 != 0) {
            put(sockets.far, "x");
            ++sent;
        }
        CHECK(turn_until(driver, [&] { return receiving.ended(); }));
        CHECK(receiving.seen.size() == 1);
        if (receiving.result() > 0)
            got += static_cast<std::size_t>(receiving.result());
        else
            CHECK(receiving.result() == -ECANCELED);
    }
    std::string rest(sent + 1, ' ');
    const auto left = ::recv(sockets.near.get(), rest.data(), rest.size(), MSG_DONTWAIT);
    CHECK(got + static_cast<std::size_t>(std::max<ssize_t>(left, 0)) == sent);
}
