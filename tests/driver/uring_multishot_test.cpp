// Operations that complete many times, and the memory that receives lend.
#include "uring_support.hpp"

#include <cerrno>
#include <deque>

#include <doctest/doctest.h>
#include <liburing.h>

using namespace uring_test;

namespace {

constexpr std::uint16_t accept_without_waiting = 1U << 1;  // IORING_ACCEPT_DONTWAIT, 6.10

driver_options buffers_of(std::uint32_t features, std::uint32_t bytes, std::uint32_t count) {
    driver_options options = options_with(features);
    options.lent_buffer_bytes = bytes;
    options.lent_buffer_count = count;
    options.lent_spare_bytes = 0;
    return options;
}

std::string bytes_of(const recorded& receiving) {
    std::string all;
    for (const auto& each : receiving.seen) all += each.bytes;
    return all;
}

template <class Driver>
void end(Driver& driver, recorded& operation) {
    driver.cancel(operation);
    CHECK(turn_until(driver, [&] { return operation.ended(); }));
}

}  // namespace

TEST_CASE("uring: a multishot accept goes on until it is cancelled" * doctest::skip(left_out())) {
    for (const std::uint32_t features : kernels) {
        CAPTURE(features);
        for (const int flags : {0, int{SOCK_NONBLOCK}}) {
            uring_driver driver(options_with(features));
            const listener server(flags);
            auto accepting = multishot(op_code::accept, server.fd.get());
            driver.submit(accepting);
            for (std::size_t round = 1; round <= 3; ++round) {
                const unique_fd caller = server.call();
                CHECK(turn_until(driver, [&] { return accepting.seen.size() >= round; }));
            }
            end(driver, accepting);
            REQUIRE(accepting.seen.size() == 4);
            for (int n = 0; n < 3; ++n) {
                CHECK(accepting.seen[static_cast<std::size_t>(n)].more);
                const unique_fd taken(accepting.seen[static_cast<std::size_t>(n)].result);
                CHECK(::fcntl(taken.get(), F_GETFD) == FD_CLOEXEC);
            }
            CHECK(accepting.result() == -ECANCELED);
            CHECK(driver.stats().in_flight == 0);
        }
    }
}

TEST_CASE("uring: a multishot receive lends what came, and ends with the stream" *
          doctest::skip(left_out())) {
    for (const std::uint32_t features : kernels) {
        CAPTURE(features);
        for (const int flags : {0, int{SOCK_NONBLOCK}}) {
            uring_driver driver(options_with(features));
            pair sockets(flags);
            auto receiving = multishot(op_code::recv, sockets.near.get());
            driver.submit(receiving);
            driver.poll(lariat::no_wait);
            for (std::size_t round = 1; round <= 3; ++round) {
                put(sockets.far, "round " + std::to_string(round));
                CHECK(turn_until(driver, [&] { return receiving.seen.size() >= round; }));
            }
            CHECK(driver.stats().lent == 3);
            put(sockets.far, "the last words");
            sockets.far.reset();
            CHECK(turn_until(driver, [&] { return receiving.ended(); }));
            CHECK(bytes_of(receiving) == "round 1round 2round 3the last words");
            CHECK(receiving.result() == 0);
            CHECK(receiving.seen.back().lent == 0);
            for (const auto& each : receiving.seen)
                if (each.lent != 0) driver.give_back(each.lent);
            CHECK(driver.stats().lent == 0);
            CHECK(driver.stats().in_flight == 0);
        }
    }
}

TEST_CASE("uring: many connections share the buffers, in whatever order they give them back" *
          doctest::skip(left_out())) {
    for (const std::uint32_t features : kernels) {
        CAPTURE(features);
        uring_driver driver(buffers_of(features, 256, 8));
        std::deque<pair> sockets(16);
        std::deque<recorded> receiving;
        for (pair& each : sockets) {
            receiving.push_back(multishot(op_code::recv, each.near.get()));
            driver.submit(receiving.back());
        }
        std::vector<std::string> sent(sockets.size());
        for (int round = 0; round < 50; ++round) {
            for (std::size_t n = 0; n < sockets.size(); ++n) {
                const std::string words = std::to_string(n) + ":" + std::to_string(round) + " ";
                put(sockets[n].far, words);
                sent[n] += words;
            }
            CHECK(turn_until(driver, [&] {
                bool all = true;
                for (std::size_t n = 0; n < sockets.size(); ++n) {
                    for (auto& each : receiving[n].seen)
                        if (each.lent != 0 && (n + static_cast<std::size_t>(round)) % 3 != 0)
                            driver.give_back(std::exchange(each.lent, 0U));
                    all = all && bytes_of(receiving[n]).size() >= sent[n].size();
                }
                for (recorded& late : receiving)
                    for (auto& each : late.seen)
                        if (each.lent != 0 && driver.stats().lent > 6)
                            driver.give_back(std::exchange(each.lent, 0U));
                return all;
            }));
        }
        for (std::size_t n = 0; n < sockets.size(); ++n) {
            CHECK(bytes_of(receiving[n]) == sent[n]);
            end(driver, receiving[n]);
            for (const auto& each : receiving[n].seen)
                if (each.lent != 0) driver.give_back(each.lent);
        }
        CHECK(driver.stats().lent == 0);
    }
}

TEST_CASE("uring: a receive without a buffer waits for one and is not told" *
          doctest::skip(left_out())) {
    for (const std::uint32_t features : kernels) {
        CAPTURE(features);
        uring_driver driver(buffers_of(features, 64, 1));
        const pair sockets;
        auto receiving = multishot(op_code::recv, sockets.near.get());
        driver.submit(receiving);
        std::string sent;
        for (char letter = 'a'; letter < 'g'; ++letter) sent += std::string(40, letter);
        put(sockets.far, sent);
        std::size_t given = 0;
        CHECK(turn_until(driver, [&] {
            driver.poll(lariat::no_wait);
            const bool all = bytes_of(receiving).size() == sent.size();
            if (driver.stats().starved > given / 2 || all)
                for (auto& each : receiving.seen)
                    if (each.lent != 0) {
                        driver.give_back(std::exchange(each.lent, 0U));
                        ++given;
                    }
            driver.wake();
            return all;
        }));
        CHECK(bytes_of(receiving) == sent);
        CHECK(driver.stats().starved > 0);
        for (const auto& each : receiving.seen) CHECK(each.more);
        end(driver, receiving);
        CHECK(receiving.result() == -ECANCELED);
    }
}

TEST_CASE("uring: a starving receive can be cancelled; its bytes stay in the socket" *
          doctest::skip(left_out())) {
    for (const std::uint32_t features : kernels) {
        CAPTURE(features);
        uring_driver driver(buffers_of(features, 64, 1));
        const pair hog;
        const pair sockets;
        auto hogging = multishot(op_code::recv, hog.near.get());
        driver.submit(hogging);
        put(hog.far, std::string(64, 'h'));
        CHECK(turn_until(driver, [&] { return bytes_of(hogging).size() == 64; }));
        auto receiving = multishot(op_code::recv, sockets.near.get());
        driver.submit(receiving);
        put(sockets.far, "kept");
        CHECK(turn_until(driver, [&] {
            driver.wake();
            return driver.stats().starved > 0;
        }));
        end(driver, receiving);
        CHECK(receiving.seen.size() == 1);
        CHECK(receiving.result() == -ECANCELED);
        std::array<char, 8> rest{};
        CHECK(::recv(sockets.near.get(), rest.data(), rest.size(), MSG_DONTWAIT) == 4);
        for (const auto& each : hogging.seen)
            if (each.lent != 0) driver.give_back(each.lent);
        end(driver, hogging);
    }
}

TEST_CASE("uring: a hundred starving receives share one buffer that comes back" *
          doctest::skip(left_out())) {
    for (const std::uint32_t features : kernels) {
        CAPTURE(features);
        uring_driver driver(buffers_of(features, 64, 1));
        std::deque<pair> sockets(100);
        std::deque<recorded> receiving;
        for (pair& each : sockets) {
            receiving.push_back(multishot(op_code::recv, each.near.get()));
            driver.submit(receiving.back());
            put(each.far, std::string(50, 'x'));
        }
        CHECK(turn_until(driver, [&] {
            std::size_t bytes = 0;
            for (recorded& each : receiving) {
                for (auto& seen : each.seen)
                    if (seen.lent != 0) driver.give_back(std::exchange(seen.lent, 0U));
                bytes += bytes_of(each).size();
            }
            return bytes == sockets.size() * 50;
        }));
        CHECK(driver.stats().starved > 0);
        for (recorded& each : receiving) driver.cancel(each);
        CHECK(turn_until(driver, [&] { return driver.stats().in_flight == 0; }));
    }
}

TEST_CASE("uring: a multishot that the kernel ends at random loses nothing when armed again" *
          doctest::skip(left_out())) {
    for (const std::uint32_t features : kernels) {
        for (std::uint64_t seed = 1; seed <= 8; ++seed) {
            CAPTURE(features);
            CAPTURE(seed);
            uring_seam seam;
            seam.drop_more_seed = seed;
            uring_driver driver(buffers_of(features, 64, 16), seam);
            const listener server;
            std::deque<unique_fd> callers;
            std::size_t accepts = 0;
            auto accepting = multishot(op_code::accept, server.fd.get());
            driver.submit(accepting);
            const pair sockets;
            auto receiving = multishot(op_code::recv, sockets.near.get());
            driver.submit(receiving);
            std::string sent;
            int ends = 0;
            for (int round = 0; round < 20; ++round) {
                callers.push_back(server.call());
                const std::string words = std::string(150, char('a' + round));
                put(sockets.far, words);
                sent += words;
                CHECK(turn_until(driver, [&] {
                    for (recorded* each : {&accepting, &receiving})
                        if (each->ended()) {
                            CHECK(each->result() > 0);
                            each->seen.back().more = true;  // goes on below
                            ++ends;
                            driver.submit(*each);
                        }
                    for (auto& each : receiving.seen)
                        if (each.lent != 0) driver.give_back(std::exchange(each.lent, 0U));
                    accepts = accepting.seen.size();
                    return accepts == callers.size() && bytes_of(receiving) == sent;
                }));
            }
            CHECK(ends > 0);
            for (recorded* each : {&accepting, &receiving}) end(driver, *each);
            for (const auto& each : accepting.seen)
                if (each.result >= 0) unique_fd{each.result};
        }
    }
}

TEST_CASE("uring: a multishot refused as on a non-blocking descriptor is armed again unseen" *
          doctest::skip(left_out())) {
    uring_seam seam;
    seam.entry = [](io_uring_sqe& entry) noexcept {
        if (entry.opcode == IORING_OP_RECV) entry.msg_flags |= MSG_DONTWAIT;
        if (entry.opcode == IORING_OP_ACCEPT) entry.ioprio |= accept_without_waiting;
    };
    for (const std::uint32_t features : kernels) {
        CAPTURE(features);
        uring_driver driver(options_with(features), seam);
        const listener server;
        const pair sockets;
        auto accepting = multishot(op_code::accept, server.fd.get());
        auto receiving = multishot(op_code::recv, sockets.near.get());
        driver.submit(accepting);
        driver.submit(receiving);
        for (std::size_t round = 1; round <= 5; ++round) {
            const unique_fd caller = server.call();
            put(sockets.far, "x");
            CHECK(turn_until(driver, [&] {
                return accepting.seen.size() >= round && receiving.seen.size() >= round;
            }));
        }
        CHECK(bytes_of(receiving) == "xxxxx");
        for (recorded* each : {&accepting, &receiving}) {
            for (const auto& seen : each->seen) CHECK(seen.more);
            end(driver, *each);
            CHECK(each->result() == -ECANCELED);
        }
        for (const auto& each : receiving.seen)
            if (each.lent != 0) driver.give_back(each.lent);
        for (const auto& each : accepting.seen)
            if (each.result >= 0) unique_fd{each.result};
    }
}

TEST_CASE("uring: cancelling from within a completion, emulated or not" *
          doctest::skip(left_out())) {
    static uring_driver* current;
    for (const std::uint32_t features : kernels) {
        CAPTURE(features);
        uring_driver driver(options_with(features));
        current = &driver;
        const pair sockets;
        auto receiving = multishot(op_code::recv, sockets.near.get());
        receiving.complete = [](op& done) noexcept {
            auto& self = static_cast<recorded&>(done);
            self.seen.push_back({done.result, done.more, 0, {}});
            if (done.lent != 0) current->give_back(done.lent);
            if (done.more) current->cancel(done);
        };
        driver.submit(receiving);
        put(sockets.far, "once");
        CHECK(turn_until(driver, [&] { return receiving.ended(); }));
        CHECK(receiving.seen.size() == 2);
        CHECK(receiving.seen.front().result == 4);
        CHECK(receiving.result() == -ECANCELED);
    }
}
