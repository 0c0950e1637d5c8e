#include <lariat/loop/futex.hpp>

#include "death.hpp"
#include "forked.hpp"
#include "futex_support.hpp"
#include "leak_check.hpp"

#include <lariat/loop/loop.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

namespace {

using namespace futex_test;

TEST_CASE_FIXTURE(leak_check, "futex: a helper thread with nothing to wait for ends") {
    futex_helper& helper = futex_helper::shared();
    const auto before = helper.change({true, 1h});
    shared_words words;
    auto body = [&]() -> task<> {
        auto waits = spawn([&]() -> task<> { co_await token_wait(words[0]); });
        co_await until_waiting(1);
        CHECK(helper.stats().threads >= 1);
        give_token(words[0]);
        co_await std::move(waits);
    };
    run_options options;
    options.driver.uring_features = 0;
    for (int i = 0; i < 2; ++i) {
        run(options, body());
        helper.change({true, 1ms});
        while (helper.stats().threads != 0) std::this_thread::yield();
    }
    helper.change(before);
}

TEST_CASE("futex: a forked child has no waits of its parent's, and its own helper" *
          doctest::skip(!forked_children_have_threads)) {
    const on_path here(path::helper);
    shared_words words;
    auto body = [&]() -> task<> {
        auto waits = spawn([&]() -> task<> { co_await token_wait(words[0]); });
        co_await until_waiting(1);
        const auto child = lariat::test::run_in_child([&] {
            this_scheduler = nullptr;  // the parent's loop does not run here
            if (futex_helper::shared().stats().waits != 0) ::_exit(1);
            if (futex_helper::shared().stats().threads != 0) ::_exit(2);
            auto inside = [&]() -> task<> {
                std::jthread waker([&] { give_token(words[1]); });
                co_await token_wait(words[1]);
            };
            run(here.options(), inside());
            ::_exit(words[1] == 0 ? 0 : 3);
        });
        CHECK_MESSAGE(child.exit_code == 0, child.text);
        CHECK(futex_helper::shared().stats().waits == 1);
        give_token(words[0]);
        co_await std::move(waits);
    };
    run(here.options(), body());
}

TEST_CASE("futex: where no helper thread can be started the wait says so" *
          doctest::skip(!forked_children_have_threads)) {
    const on_path here(path::helper);
    shared_words words;
    const auto child = lariat::test::run_in_child([&] {
        // Without the right to exceed it: for root the limit does not hold.
        if (::geteuid() == 0 && ::setuid(65534) != 0) ::_exit(7);
        rlimit none{};
        ::getrlimit(RLIMIT_NPROC, &none);
        none.rlim_cur = 0;
        ::setrlimit(RLIMIT_NPROC, &none);
        auto body = [&]() -> task<> {
            try {
                co_await token_wait(words[0]);
                ::_exit(1);
            } catch (const std::system_error& error) {
                if (error.code() != std::errc::resource_unavailable_try_again) ::_exit(2);
            }
        };
        run(here.options(), body());
        ::_exit(0);
    });
    CHECK_MESSAGE(child.exit_code == 0, child.text);
}

TEST_CASE("futex: a thread sleeps until it is woken, or its deadline") {
    shared_words words;
    CHECK(futex_wait_blocking(words[0], 1, forever) == futex_end::changed);
    CHECK(futex_wait_blocking(words[0], 0, no_wait) == futex_end::timed_out);
    CHECK(futex_wait_blocking(words[0], 1, no_wait) == futex_end::timed_out);
    const time_point deadline = clock::now() + 10ms;
    CHECK(futex_wait_blocking(words[0], 0, deadline) == futex_end::timed_out);
    CHECK(clock::now() >= deadline);
    std::jthread waker([&] {
        while (futex_wake(words[0], 1) == 0) std::this_thread::yield();
    });
    CHECK(futex_wait_blocking(words[0], 0, forever) == futex_end::woken);
}

TEST_CASE("futex: a thread tries until it succeeds, or once more at its deadline") {
    shared_words words;
    const auto take = [&] { return take_token(words[0]); };
    words[0] = 1;
    CHECK(futex_block(take, no_wait));
    CHECK_FALSE(futex_block(take, no_wait));
    CHECK_FALSE(futex_block(take, clock::now() + 5ms));
    int attempts = 0;
    const auto late = [&] {
        if (++attempts == 2) words[0] = 1;
        return take_token(words[0]);
    };
    CHECK(futex_block(late, no_wait));
    CHECK(attempts == 2);
    std::vector<std::jthread> takers;
    takers.reserve(4);
    std::atomic<int> taken{0};
    for (int t = 0; t < 4; ++t) {
        takers.emplace_back([&] {
            for (int i = 0; i < 100; ++i) taken += futex_block(take, forever) ? 1 : 0;
        });
    }
    for (int i = 0; i < 400; ++i) give_token(words[0]);
    takers.clear();
    CHECK(taken == 400);
    CHECK(words[0] == 0);
}

TEST_CASE("futex: a signal does not end a thread's sleep") {
    struct sigaction before{};
    struct sigaction counts{};
    static std::atomic<int> signals;
    signals = 0;
    counts.sa_handler = [](int) { ++signals; };  // and no SA_RESTART
    REQUIRE(::sigaction(SIGUSR1, &counts, &before) == 0);
    shared_words words;
    std::atomic<bool> over{false};
    futex_end how = futex_end::failed;
    {
        std::jthread sleeper([&] {
            how = futex_wait_blocking(words[0], 0, forever);
            over = true;
        });
        for (int sent = 1; sent <= 20; ++sent) {
            ::pthread_kill(sleeper.native_handle(), SIGUSR1);
            while (signals < sent) std::this_thread::yield();
        }
        CHECK_FALSE(over);
        while (futex_wake(words[0], 1) == 0) std::this_thread::yield();
    }
    CHECK(how == futex_end::woken);
    ::sigaction(SIGUSR1, &before, nullptr);
}

}  // namespace
