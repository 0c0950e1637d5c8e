// The two queues: full, overflowing, refused by the kernel; nothing is lost or done twice.
#include "uring_support.hpp"

#include "driver/uring/abi.hpp"

#include <atomic>
#include <cerrno>
#include <deque>
#include <memory>
#include <random>
#include <thread>

#include <doctest/doctest.h>
#include <liburing.h>

using namespace uring_test;

namespace {

std::deque<recorded> many(std::size_t count, op_code code = op_code::nop, int fd = -1) {
    std::deque<recorded> ops;
    for (std::size_t n = 0; n < count; ++n) ops.emplace_back(code, fd);
    return ops;
}
bool all_ended(const std::deque<recorded>& ops) {
    for (const recorded& each : ops)
        if (!each.ended()) return false;
    return true;
}

driver_options queues_of(std::uint32_t submissions, std::uint32_t completions) {
    driver_options options;
    options.submission_entries = submissions;
    options.completion_entries = completions;
    return options;
}

/// A kernel in trouble: refuses or takes less than it was given, as the seed has it.
struct troubled_kernel {
    std::minstd_rand0 random;
    int refusals = 0;

    static int enter(void* context, int fd, std::uint32_t to_submit, std::uint32_t min_complete,
                     std::uint32_t flags, const void* argument, std::size_t bytes) noexcept {
        auto& self = *static_cast<troubled_kernel*>(context);
        const auto trouble = self.random() % 8;
        if (trouble < 4) ++self.refusals;
        if (trouble == 0) return -EAGAIN;
        if (trouble == 1) return -EBUSY;
        if (trouble == 2) return -EINTR;
        if (trouble == 3 && to_submit > 1)  // the real one does not wait then
            return lariat::detail::system_enter(nullptr, fd, to_submit / 2, 0, flags, argument,
                                                bytes);
        return lariat::detail::system_enter(nullptr, fd, to_submit, min_complete, flags, argument,
                                            bytes);
    }
    [[nodiscard]] uring_seam seam() {
        uring_seam made;
        made.enter = enter;
        made.enter_context = this;
        return made;
    }
};

}  // namespace

TEST_CASE("uring: an operation completes on every kernel back to 5.15" *
          doctest::skip(left_out())) {
    for (const std::uint32_t features : kernels) {
        CAPTURE(features);
        uring_driver driver(options_with(features));
        auto ops = many(3);
        for (recorded& each : ops) CHECK_FALSE(driver.submit(each));
        CHECK(driver.stats().in_flight == 3);
        CHECK(turn_until(driver, [&] { return all_ended(ops); }));
        for (const recorded& each : ops) CHECK(each.result() == 0);
        CHECK(driver.stats().in_flight == 0);
        CHECK(driver.stats().completed == 3);
    }
}

TEST_CASE("uring: a turn enters the kernel once, and not at all for nothing" *
          doctest::skip(left_out())) {
    uring_driver driver(driver_options{});
    auto ops = many(50);
    for (recorded& each : ops) driver.submit(each);
    driver.poll(lariat::forever);
    CHECK(all_ended(ops));
    CHECK(driver.stats().kernel_entries == 1);
    driver.poll(lariat::no_wait);
    driver.poll(lariat::no_wait);
    CHECK(driver.stats().kernel_entries == 1);
}

TEST_CASE("uring: no_wait sees what the kernel has put aside for it" * doctest::skip(left_out())) {
    for (const std::uint32_t features : kernels) {
        CAPTURE(features);
        uring_driver driver(options_with(features));
        const pair sockets;
        std::array<char, 8> buffer{};
        auto receiving = receive(sockets.near.get(), buffer.data(), buffer.size());
        driver.submit(receiving);
        driver.poll(lariat::no_wait);
        CHECK(receiving.seen.empty());
        put(sockets.far, "now");
        driver.poll(lariat::no_wait);
        REQUIRE(receiving.ended());
        CHECK(receiving.result() == 3);
    }
}

TEST_CASE("uring: more operations than the submission queue holds keep their order" *
          doctest::skip(left_out())) {
    uring_driver driver(queues_of(2, 2));
    const pair sockets;
    const std::string_view digits = "0123456789";
    std::deque<recorded> ops;
    for (std::size_t n = 0; n < 100; ++n)
        ops.push_back(transmit(sockets.near.get(), digits.substr(n % 10, 1)));
    for (recorded& each : ops) driver.submit(each);
    CHECK(turn_until(driver, [&] { return all_ended(ops); }));
    std::string got(100, ' ');
    CHECK(::recv(sockets.far.get(), got.data(), got.size(), MSG_WAITALL) == 100);
    for (std::size_t n = 0; n < 100; ++n) CHECK(got[n] == digits[n % 10]);
}

TEST_CASE("uring: an overflowing completion queue loses nothing and is counted" *
          doctest::skip(left_out())) {
    for (const std::uint32_t features : kernels) {
        CAPTURE(features);
        auto options = queues_of(8, 8);
        options.uring_features = features;
        uring_driver driver(options);
        auto ops = many(80);
        for (recorded& each : ops) driver.submit(each);
        CHECK(turn_until(driver, [&] { return all_ended(ops); }));
        for (const recorded& each : ops) CHECK(each.seen.size() == 1);
        CHECK(driver.stats().overflows > 0);
        CHECK(driver.stats().in_flight == 0);
    }
}

TEST_CASE("uring: a kernel that refuses, interrupts or takes half loses nothing" *
          doctest::skip(left_out())) {
    for (unsigned seed = 1; seed <= 20; ++seed) {
        CAPTURE(seed);
        troubled_kernel kernel{std::minstd_rand0(seed)};
        uring_driver driver(queues_of(4, 8), kernel.seam());
        const pair sockets;
        auto nops = many(60);
        std::string got(40, ' ');
        std::deque<recorded> receives;
        for (std::size_t n = 0; n < got.size(); ++n)
            receives.push_back(receive(sockets.near.get(), &got[n], 1));
        for (recorded& each : nops) driver.submit(each);
        for (recorded& each : receives) driver.submit(each);
        for (std::size_t n = 20; n < 40; ++n) driver.cancel(receives[n]);
        put(sockets.far, std::string(20, 'x'));
        CHECK(turn_until(driver, [&] { return all_ended(nops) && all_ended(receives); }));
        std::size_t bytes = 0;
        for (const recorded& each : receives) {
            CHECK(each.seen.size() == 1);
            if (each.result() == 1)
                ++bytes;
            else
                CHECK(each.result() == -ECANCELED);
        }
        std::string rest(20, ' ');
        const auto left = ::recv(sockets.near.get(), rest.data(), rest.size(), MSG_DONTWAIT);
        CHECK(bytes + static_cast<std::size_t>(std::max<ssize_t>(left, 0)) == 20);
        for (const recorded& each : nops) CHECK(each.seen.size() == 1);
        CHECK(kernel.refusals > 0);
    }
}

TEST_CASE("uring: an operation cancelled before the kernel could take it completes once" *
          doctest::skip(left_out())) {
    static bool refusing;
    refusing = true;
    uring_seam seam;
    seam.enter = [](void*, int fd, std::uint32_t to_submit, std::uint32_t min_complete,
                    std::uint32_t flags, const void* argument, std::size_t bytes) noexcept {
        if (refusing && to_submit != 0) return -EAGAIN;
        return lariat::detail::system_enter(nullptr, fd, to_submit, min_complete, flags, argument,
                                            bytes);
    };
    uring_driver driver(queues_of(2, 4), seam);
    const pair sockets;
    std::array<char, 8> buffer{};
    std::deque<recorded> ops;
    for (int n = 0; n < 6; ++n)
        ops.push_back(receive(sockets.near.get(), buffer.data(), buffer.size()));
    for (recorded& each : ops) driver.submit(each);
    for (recorded& each : ops) driver.cancel(each);
    for (recorded& each : ops) driver.cancel(each);
    for (const recorded& each : ops) CHECK(each.seen.empty());
    driver.poll(lariat::no_wait);
    CHECK(ops.back().ended());
    CHECK_FALSE(ops.front().ended());
    refusing = false;
    CHECK(turn_until(driver, [&] { return all_ended(ops); }));
    for (const recorded& each : ops) {
        CHECK(each.seen.size() == 1);
        CHECK(each.result() == -ECANCELED);
    }
    driver.cancel(ops.front());
    CHECK(driver.stats().in_flight == 0);
}

TEST_CASE("uring: an operation that completes before its cancellation could be queued" *
          doctest::skip(left_out())) {
    static bool refusing;
    refusing = false;
    uring_seam seam;
    seam.enter = [](void*, int fd, std::uint32_t to_submit, std::uint32_t min_complete,
                    std::uint32_t flags, const void* argument, std::size_t bytes) noexcept {
        if (refusing && to_submit != 0) return -EAGAIN;
        return lariat::detail::system_enter(nullptr, fd, to_submit, min_complete, flags, argument,
                                            bytes);
    };
    uring_driver driver(queues_of(2, 4), seam);
    const pair sockets;
    std::array<char, 8> buffer{};
    auto receiving = receive(sockets.near.get(), buffer.data(), buffer.size());
    driver.submit(receiving);
    driver.poll(lariat::no_wait);
    refusing = true;
    auto nops = many(3);
    for (recorded& each : nops) driver.submit(each);
    driver.cancel(receiving);
    put(sockets.far, "here");
    CHECK(turn_until(driver, [&] { return receiving.ended(); }));
    CHECK(receiving.result() == 4);
    // The same op again: the cancellation of its past must not reach it.
    driver.submit(receiving);
    refusing = false;
    CHECK(turn_until(driver, [&] { return all_ended(nops); }));
    put(sockets.far, "again");
    CHECK(turn_until(driver, [&] { return receiving.seen.size() == 2; }));
    CHECK(receiving.result() == 5);
}

TEST_CASE("uring: a refused submission does not spin while it waits" * doctest::skip(left_out())) {
    static int calls;
    calls = 0;
    uring_seam seam;
    seam.enter = [](void*, int fd, std::uint32_t to_submit, std::uint32_t min_complete,
                    std::uint32_t flags, const void* argument, std::size_t bytes) noexcept {
        ++calls;
        if (to_submit != 0) return -EAGAIN;
        return lariat::detail::system_enter(nullptr, fd, 0, min_complete, flags, argument, bytes);
    };
    {
        uring_driver driver(driver_options{}, seam);
        const auto until = driver.now() + std::chrono::milliseconds(10);
        driver.poll(until);  // its own wake poll is what cannot be submitted
        CHECK(driver.now() >= until);
    }
    CHECK(calls < 40);
}

TEST_CASE("uring: a deadline is never early, with or without absolute timers" *
          doctest::skip(left_out())) {
    uring_seam relative;
    relative.enter = [](void*, int fd, std::uint32_t to_submit, std::uint32_t min_complete,
                        std::uint32_t flags, const void* argument, std::size_t bytes) noexcept {
        if ((flags & lariat::detail::abi::enter_absolute_timer) != 0) return -EINVAL;
        return lariat::detail::system_enter(nullptr, fd, to_submit, min_complete, flags, argument,
                                            bytes);
    };
    for (const uring_seam& seam : {uring_seam(), relative}) {
        uring_driver driver(driver_options{}, seam);
        for (const int microseconds : {0, 50, 1500}) {
            const auto until = driver.now() + std::chrono::microseconds(microseconds);
            driver.poll(until);
            CHECK(driver.now() >= until);
            CHECK(driver.now() < until + std::chrono::seconds(2));
        }
        driver.poll(driver.now() - std::chrono::hours(1));
        driver.poll(lariat::time_point(std::chrono::nanoseconds(-5)));
    }
}

TEST_CASE("uring: wakes are coalesced, and none is lost between turns" *
          doctest::skip(left_out())) {
    uring_seam one_shot;  // the wake poll ends with each wake
    one_shot.entry = [](io_uring_sqe& entry) noexcept {
        if (entry.opcode == IORING_OP_POLL_ADD) entry.len = 0;
    };
    for (std::size_t n = 0; n < 2 * kernels.size(); ++n) {
        const std::uint32_t features = kernels[n / 2];
        CAPTURE(features);
        uring_driver driver(options_with(features), n % 2 == 0 ? uring_seam() : one_shot);
        for (int wakes = 0; wakes < 5; ++wakes) driver.wake();
        driver.poll(lariat::forever);
        const auto until = driver.now() + std::chrono::milliseconds(2);
        driver.poll(until);
        CHECK(driver.now() >= until);  // five wakes were one
        std::atomic<int> turns{0};
        std::thread other([&] {
            for (int turn = 1; turn <= 500; ++turn) {
                driver.wake();
                turns.wait(turn - 1);
            }
        });
        for (int turn = 1; turn <= 500; ++turn) {
            driver.poll(lariat::forever);
            turns.store(turn);
            turns.notify_one();
        }
        other.join();
    }
}

TEST_CASE("uring: lost completions end the program and say why" * doctest::skip(left_out())) {
    const child_end end = in_child([] {
        uring_seam seam;
        seam.enter = [](void*, int, std::uint32_t, std::uint32_t min_complete, std::uint32_t,
                        const void*,
                        std::size_t) noexcept { return min_complete == 0 ? 0 : -EBADR; };
        uring_driver driver(driver_options{}, seam);
        driver.poll(lariat::forever);
    });
    CHECK(WIFSIGNALED(end.status));
    CHECK(end.said.find("dropped completions") != std::string::npos);
    CHECK(end.said.find("EBADR") != std::string::npos);
}

TEST_CASE("uring: another thread that drives the loop is told whose it is" *
          doctest::skip(left_out())) {
    const child_end end = in_child([] {
        uring_driver driver(driver_options{});
        std::thread([&] { driver.poll(lariat::no_wait); }).join();
    });
    CHECK(WIFSIGNALED(end.status));
    CHECK(end.said.find("one thread that made it") != std::string::npos);
}

TEST_CASE("uring: a forked child is refused, and the parent's loop goes on" *
          doctest::skip(left_out())) {
    const pair sockets;
    std::array<char, 8> buffer{};
    auto receiving = receive(sockets.near.get(), buffer.data(), buffer.size());
    uring_driver driver(driver_options{});
    driver.submit(receiving);
    driver.poll(lariat::no_wait);
    for (int verb = 0; verb < 4; ++verb) {
        const child_end end = in_child([&] {
            recorded op(op_code::nop, -1);
            if (verb == 0) driver.submit(op);
            if (verb == 1) driver.cancel(receiving);
            if (verb == 2) driver.poll(lariat::no_wait);
            if (verb == 3) driver.wake();
        });
        CHECK(WIFSIGNALED(end.status));
        CHECK(end.said.find("inherited through fork") != std::string::npos);
    }
    put(sockets.far, "still");
    CHECK(turn_until(driver, [&] { return receiving.ended(); }));
    CHECK(receiving.result() == 5);
}

TEST_CASE("uring: a forked child may destroy what it inherited; the parent's is untouched" *
          doctest::skip(left_out())) {
    auto driver = std::make_unique<uring_driver>(driver_options{});
    const pair sockets;
    auto receiving = multishot(op_code::recv, sockets.near.get());
    driver->submit(receiving);
    driver->poll(lariat::no_wait);
    const child_end end = in_child([&] { driver.reset(); });
    CHECK(WIFEXITED(end.status));
    CHECK(end.said.empty());
    put(sockets.far, "still");
    CHECK(turn_until(*driver, [&] { return !receiving.seen.empty(); }));
    CHECK(receiving.seen.front().bytes == "still");
    driver->give_back(receiving.seen.front().lent);
    driver->cancel(receiving);
    CHECK(turn_until(*driver, [&] { return receiving.ended(); }));
}
