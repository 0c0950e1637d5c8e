#include "test_loop.hpp"

#include "death.hpp"

#include <lariat/task/sleep.hpp>
#include <lariat/task/task.hpp>
#include <lariat/task/wait_queue.hpp>

#include "parking.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <string>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::parking;
using lariat::test::run_in_child;
using lariat::test::stuck_error;
using lariat::test::test_loop;

TEST_CASE_FIXTURE(test_loop, "test loop: when nobody can run again it names who waits for what") {
    parking place;
    std::string told;
    try {
        run([&]() -> task<> {
            set_task_name("the forgotten one");
            co_await place.park();
        });
    } catch (const stuck_error& stuck) {
        told = stuck.what();
    }
    CHECK(told.find("the forgotten one waits for a place in the test's line") != std::string::npos);
    CHECK(told.find("test_loop_test.cpp:") != std::string::npos);
    CHECK(elapsed() == 0ns);
}

TEST_CASE_FIXTURE(test_loop, "test loop: after a run that got stuck the next one is as new") {
    parking place;
    CHECK_THROWS_AS(run([&]() -> task<> { co_await place.park(); }), stuck_error);
    run([]() -> task<> { co_await sleep(1s); });
    CHECK(elapsed() == 1s);
}

TEST_CASE("test loop: a frame that is left over fails the test that left it") {
    void* forgotten = nullptr;
    const auto how = run_in_child([&] {
        const lariat::test::leak_check leaks;
        forgotten = allocate_frame(64);
    });
    CHECK(how.text.find("frames that nobody freed") != std::string::npos);
}

}  // namespace
