#include <lariat/loop/mailbox.hpp>

#include "leak_check.hpp"
#include "parking.hpp"

#include <lariat/loop/loop.hpp>
#include <lariat/task/sleep.hpp>

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::leak_check;
using lariat::test::parking;

constexpr int threads = 4;
constexpr int each = 5'000;

/// Waits, on the loop, until something that other threads do has happened.
template <class Done>
task<> until(Done done) {
    for (bool reached = false; !reached; reached = done()) co_await sleep(100us);
}

TEST_CASE_FIXTURE(leak_check, "mailbox: nothing posted from four threads during a run is lost") {
    loop own;
    std::array<int, threads> next{};
    int called = 0;
    int out_of_order = 0;
    int wrong_thread = 0;
    const auto home = std::this_thread::get_id();
    std::vector<std::jthread> posters;
    auto body = [&]() -> task<> {
        for (std::size_t t = 0; t < threads; ++t) {
            posters.emplace_back([&, t] {
                for (int i = 0; i < each; ++i) {
                    const bool taken = own.post([&, t, i] {
                        ++called;
                        if (next[t]++ != i) ++out_of_order;
                        if (std::this_thread::get_id() != home) ++wrong_thread;
                    });
                    if (!taken) std::abort();
                }
            });
        }
        co_await until([&] { return called == threads * each; });
    };
    own.run(body());
    posters.clear();
    CHECK(called == threads * each);
    CHECK(out_of_order == 0);
    CHECK(wrong_thread == 0);
}

TEST_CASE_FIXTURE(leak_check, "mailbox: a post wakes a loop that sleeps with nothing else to do") {
    loop own;
    std::atomic<int> asked{0};
    parking place;
    std::jthread poster([&](std::stop_token stop) {
        for (int answered = 0; !stop.stop_requested();) {
            if (asked.load() == answered) {
                std::this_thread::yield();
                continue;
            }
            ++answered;
            if (!own.post([&] { place.wake_one(); })) std::abort();
        }
    });
    int rounds = 0;
    auto body = [&]() -> task<> {
        for (; rounds < 500; ++rounds) {
            asked.fetch_add(1);
            co_await place.park();  // no timer is armed: nothing but the post can end this
        }
    };
    own.run(body());
    CHECK(rounds == 500);
}

TEST_CASE_FIXTURE(leak_check, "mailbox: at close each message was called, dropped or refused") {
    struct counted {
        explicit counted(std::atomic<int>& ended) : gone(&ended) {}
        counted(counted&& other) noexcept : gone(std::exchange(other.gone, nullptr)) {}
        counted& operator=(counted&&) = delete;
        ~counted() {
            if (gone != nullptr) gone->fetch_add(1);
        }
        std::atomic<int>* gone;
    };
    std::atomic<int> freed{0};
    std::atomic<int> called{0};
    std::atomic<int> refused{0};
    std::atomic<int> ready{0};
    std::vector<std::jthread> posters;
    {
        loop own;
        const std::shared_ptr<mailbox> box = own.box();
        for (int t = 0; t < threads; ++t) {
            posters.emplace_back([&, box] {
                ready.fetch_add(1);
                for (int i = 0; i < each; ++i) {
                    counted mark(freed);
                    auto message = [&called, held = std::move(mark)] { called.fetch_add(1); };
                    if (!detail::post_to(*box, std::move(message))) refused.fetch_add(1);
                }
            });
        }
        auto body = [&]() -> task<> {
            co_await until([&] { return ready.load() == threads && called.load() > 100; });
        };
        own.run(body());
    }
    const int called_at_close = called.load();
    posters.clear();
    CHECK(called.load() == called_at_close);
    CHECK(freed.load() == threads * each);
    CHECK(refused.load() + called.load() <= threads * each);
}

TEST_CASE_FIXTURE(leak_check,
                  "mailbox: a closed loop refuses, and the function stays the poster's") {
    auto alive = std::make_shared<int>(0);
    std::shared_ptr<mailbox> box;
    {
        loop own;
        box = own.box();
        own.close();
        CHECK_FALSE(own.post([held = alive] { ++*held; }));
    }
    CHECK_FALSE(detail::post_to(*box, [held = alive] { ++*held; }));
    CHECK(alive.use_count() == 1);
    CHECK(*alive == 0);
}

TEST_CASE_FIXTURE(leak_check, "mailbox: what was posted before a run is called in it") {
    loop own;
    int called = 0;
    CHECK(own.post([&] { ++called; }));
    auto body = []() -> task<> { co_await sleep(1ms); };
    own.run(body());
    CHECK(called == 1);
}

TEST_CASE_FIXTURE(leak_check, "mailbox: what a closing loop has not called it frees, uncalled") {
    auto alive = std::make_shared<int>(0);
    {
        loop own;
        CHECK(own.post([held = alive] { ++*held; }));
        CHECK(alive.use_count() == 2);
    }
    CHECK(alive.use_count() == 1);
    CHECK(*alive == 0);
}

TEST_CASE_FIXTURE(leak_check,
                  "mailbox: what a posted function throws is reported and ends the run") {
    std::vector<std::string> told;
    run_options options;
    options.report = [&](const failure_report& report) { told.push_back(report.task); };
    loop own(options);
    auto body = [&]() -> task<> {
        CHECK(own.post([] { throw std::runtime_error("broken"); }));
        co_await sleep(1h);
    };
    CHECK_THROWS_WITH_AS(own.run(body()), "broken", std::runtime_error);
    CHECK(told == std::vector<std::string>{"a call"});
}

TEST_CASE_FIXTURE(leak_check,
                  "mailbox: a message that posts the next starves neither timers nor tasks") {
    loop own;
    struct chain {
        loop& to;
        bool& stop;
        int& links;
        void operator()() const {
            ++links;
            if (!stop) CHECK(to.post(*this));
        }
    };
    bool stop = false;
    int links = 0;
    auto body = [&]() -> task<> {
        CHECK(own.post(chain{own, stop, links}));
        co_await sleep(1ms);
        co_await yield_now();
        stop = true;
        co_await sleep(1ms);
    };
    own.run(body());
    CHECK(links > 1);
}

}  // namespace
