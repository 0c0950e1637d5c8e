// Cancellation as the design promises it, across all kinds of scopes; each kind has its own file
// too.
#include <lariat/task/cancel_scope.hpp>

#include "parking.hpp"
#include "test_loop.hpp"
#include "timed.hpp"

#include <lariat/base/error.hpp>
#include <lariat/task/gather.hpp>
#include <lariat/task/settled.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/task_group.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::cut_after;
using lariat::test::parking;
using lariat::test::test_loop;

static_assert(!std::is_base_of_v<std::exception, cancelled>);
static_assert(std::is_base_of_v<std::exception, task_cancelled>);

/// Ends a scope's work and remembers that.
struct unwound {
    explicit unwound(int& times) : count(times) {}
    unwound(const unwound&) = delete;
    unwound& operator=(const unwound&) = delete;
    ~unwound() { ++count; }
    int& count;
};

TEST_CASE_FIXTURE(test_loop,
                  "cancel: every further await inside throws, however often it is caught") {
    int thrown = 0;
    auto stubborn = [&]() -> task<> {
        for (int i = 0; i < 5; ++i) {
            try {
                co_await sleep(1h);
            } catch (const cancelled&) {
                ++thrown;
            }
        }
    };
    run([&]() -> task<> {
        auto handle = spawn(stubborn);
        co_await sleep(1s);
        handle.cancel();
        co_await handle;
    });
    CHECK(thrown == 5);
    CHECK(elapsed() == 1s);
}

TEST_CASE_FIXTURE(test_loop,
                  "cancel: every kind of await throws inside a cancelled scope, none begins") {
    std::string log;
    parking place;
    auto child = [&]() -> task<> {
        log += "child ";
        co_return;
    };
    auto inside = [&]() -> task<> {
        running_party("test").cancel();
        try {
            co_await yield_now();
        } catch (const cancelled&) {
            log += "a";
        }
        try {
            co_await child();
        } catch (const cancelled&) {
            log += "b";
        }
        try {
            co_await sleep(1s);
        } catch (const cancelled&) {
            log += "c";
        }
        try {
            co_await place.park();
        } catch (const cancelled&) {
            log += "d";
        }
        try {
            co_await gather(child(), child());
        } catch (const cancelled&) {
            log += "e";
        }
        try {
            co_await timeout(1s, child());
        } catch (const cancelled&) {
            log += "f";
        }
        auto body = [&](task_group&) -> task<> { return child(); };
        try {
            co_await with_group(body);
        } catch (const cancelled&) {
            log += "g";
        }
    };
    run([&]() -> task<> {
        auto ended = co_await settled(inside());
        CHECK(ended.is_value());
    });
    CHECK(log == "abcdefg");
    CHECK(elapsed() == 0ns);
}

TEST_CASE_FIXTURE(test_loop, "cancel: a catch of std::exception cannot swallow it") {
    bool swallowed = false;
    auto careless = [&]() -> task<> {
        try {
            co_await sleep(1h);
        } catch (const std::exception&) {
            swallowed = true;
        }
    };
    run([&]() -> task<> {
        auto handle = spawn(careless);
        co_await yield_now();
        handle.cancel();
        auto ended = co_await settled(std::move(handle));
        CHECK(ended.is_cancelled());
    });
    CHECK_FALSE(swallowed);
}

TEST_CASE_FIXTURE(test_loop, "cancel: one that escapes its scope is a bug and reported as such") {
    auto stray = []() -> task<> {
        throw cancelled();
        co_return;
    };
    CHECK_THROWS_AS(run(stray()), std::logic_error);
    CHECK_THROWS_AS(run([&]() -> task<> { co_await gather(stray(), detail::to_task(sleep(1h))); }),
                    std::logic_error);
    CHECK(elapsed() == 0ns);
    std::exception_ptr kept;
    auto rethrows_later = [&]() -> task<> {
        cancel_scope scope;
        auto caught = [&]() -> task<> {
            scope.cancel();
            try {
                co_await yield_now();
            } catch (...) {
                kept = std::current_exception();
                throw;
            }
        };
        const bool finished = co_await scope.run(caught());
        CHECK_FALSE(finished);
        std::rethrow_exception(kept);
    };
    CHECK_THROWS_AS(run(rethrows_later()), std::logic_error);
}

TEST_CASE_FIXTURE(test_loop,
                  "cancel: before it starts, a task never runs, and its arguments are freed") {
    bool ran = false;
    auto alive = std::make_shared<int>(1);
    auto body = [&](std::shared_ptr<int>) -> task<> {
        ran = true;
        co_return;
    };
    run([&]() -> task<> {
        auto handle = spawn(body, alive);
        handle.cancel();
        auto ended = co_await settled(std::move(handle));
        CHECK(ended.is_cancelled());
    });
    CHECK_FALSE(ran);
    CHECK(alive.use_count() == 1);
}

TEST_CASE_FIXTURE(test_loop, "cancel: twice is once") {
    int unwinds = 0;
    auto sleeper = [&]() -> task<> {
        const unwound at_end(unwinds);
        co_await sleep(1h);
    };
    run([&]() -> task<> {
        auto handle = spawn(sleeper);
        co_await yield_now();
        handle.cancel();
        handle.cancel();
        co_await yield_now();
        handle.cancel();
        auto ended = co_await settled(std::move(handle));
        CHECK(ended.is_cancelled());
    });
    CHECK(unwinds == 1);
}

TEST_CASE_FIXTURE(test_loop, "cancel: of itself, a task goes on to its next await") {
    std::string log;
    join_handle<> self;
    auto body = [&]() -> task<> {
        co_await yield_now();
        self.cancel();
        log += "still here ";
        co_await yield_now();
        log += "never here";
    };
    run([&]() -> task<> {
        self = spawn(body);
        co_await yield_now();
        co_await yield_now();
        co_await yield_now();
        CHECK(self.done());
        auto ended = co_await settled(std::move(self));
        CHECK(ended.is_cancelled());
    });
    CHECK(log == "still here ");
}

TEST_CASE_FIXTURE(test_loop, "cancel: of a task that has ended changes nothing") {
    auto body = []() -> task<int> { co_return 5; };
    run([&]() -> task<> {
        auto handle = spawn(body);
        co_await yield_now();
        handle.cancel();
        const int got = co_await handle;
        CHECK(got == 5);
    });
}

TEST_CASE_FIXTURE(test_loop, "cancel: nobody runs inside the call that cancels them") {
    bool unwinding = false;
    auto sleeper = [&]() -> task<> {
        try {
            co_await sleep(1h);
        } catch (...) {
            unwinding = true;
            throw;
        }
    };
    run([&]() -> task<> {
        auto handle = spawn(sleeper);
        co_await yield_now();
        handle.cancel();
        CHECK_FALSE(unwinding);
        auto ended = co_await settled(std::move(handle));
        CHECK(ended.is_cancelled());
    });
    CHECK(unwinding);
}

TEST_CASE_FIXTURE(test_loop,
                  "cancel: completion wins in the same turn, and the cancellation stays pending") {
    parking place;
    std::string log;
    auto body = [&]() -> task<> {
        co_await place.park();
        log += "got it";
        try {
            co_await yield_now();
        } catch (const cancelled&) {
            log += ", then cancelled";
            throw;
        }
    };
    run([&]() -> task<> {
        auto handle = spawn(body);
        co_await yield_now();
        place.wake_one();
        handle.cancel();
        auto ended = co_await settled(std::move(handle));
        CHECK(ended.is_cancelled());
    });
    CHECK(log == "got it, then cancelled");
}

TEST_CASE_FIXTURE(test_loop,
                  "cancel: before completion in the same turn, the wait did not happen") {
    parking place;
    run([&]() -> task<> {
        auto waits = [&]() -> task<> { co_await place.park(); };
        auto handle = spawn(waits);
        co_await yield_now();
        handle.cancel();
        CHECK_FALSE(place.wake_one());
        auto ended = co_await settled(std::move(handle));
        CHECK(ended.is_cancelled());
    });
}

TEST_CASE_FIXTURE(test_loop, "cancel: a result that was returned before the cut is delivered") {
    parking place;
    auto child = [&]() -> task<int> {
        co_await place.park();
        co_return 7;
    };
    int got = 0;
    auto body = [&]() -> task<> { got = co_await child(); };
    run([&]() -> task<> {
        auto handle = spawn(body);
        co_await yield_now();
        place.wake_one();
        handle.cancel();
        auto ended = co_await settled(std::move(handle));
        CHECK(ended.is_value());
    });
    CHECK(got == 7);
}

TEST_CASE_FIXTURE(test_loop, "cancel: reaches children, their children, and their scopes") {
    int unwinds = 0;
    auto leaf = [&]() -> task<> {
        const unwound at_end(unwinds);
        co_await sleep(1h);
    };
    auto branch = [&]() -> task<> {
        const unwound at_end(unwinds);
        co_await timeout(2h, gather(leaf(), leaf()));
    };
    run([&]() -> task<> {
        auto root = [&]() -> task<> { co_await gather(branch(), branch(), leaf()); };
        auto ended = co_await cut_after(1s, root);
        CHECK(ended.is_cancelled());
    });
    CHECK(unwinds == 7);
    CHECK(elapsed() == 1s);
}

TEST_CASE_FIXTURE(test_loop, "cancel: what is spawned into a cancelled scope never runs") {
    bool ran = false;
    auto child = [&]() -> task<> {
        ran = true;
        co_return;
    };
    run([&]() -> task<> {
        auto body = [&](task_group& group) -> task<> {
            group.cancel();
            auto late = group.spawn(child);
            auto ended = co_await shield(settled(std::move(late)));
            CHECK(ended.is_cancelled());
        };
        co_await with_group(body);
    });
    CHECK_FALSE(ran);
}

TEST_CASE_FIXTURE(test_loop, "cancel: a dying task may still spawn; it ends with the run") {
    bool ran = false;
    auto child = [&]() -> task<> {
        ran = true;
        co_return;
    };
    auto dying = [&]() -> task<> {
        try {
            co_await sleep(1h);
        } catch (const cancelled&) {
            spawn(child);
            throw;
        }
    };
    run([&]() -> task<> {
        spawn(dying);
        co_await yield_now();
    });
    CHECK_FALSE(ran);  // the run was ending: whoever comes then is cancelled before it begins
}

TEST_CASE_FIXTURE(test_loop,
                  "cancel: a child's exception while the parent is cancelled is not lost") {
    auto child = []() -> task<> {
        try {
            co_await sleep(1h);
        } catch (const cancelled&) {
            throw std::runtime_error("while unwinding");
        }
    };
    run([&]() -> task<> {
        auto parent = [&]() -> task<> { co_await gather(child(), detail::to_task(sleep(1h))); };
        auto handle = spawn(parent);
        co_await sleep(1s);
        handle.cancel();
        CHECK_THROWS_WITH_AS(co_await handle, "while unwinding", std::runtime_error);
    });
}

TEST_CASE_FIXTURE(test_loop, "cancel: after such an exception was caught it is still pending") {
    bool later = false;
    auto child = []() -> task<> {
        try {
            co_await sleep(1h);
        } catch (const cancelled&) {
            throw std::runtime_error("while unwinding");
        }
    };
    auto parent = [&]() -> task<> {
        try {
            co_await gather(child(), child());
        } catch (const error_group&) {
        }
        try {
            co_await yield_now();
        } catch (const cancelled&) {
            later = true;
            throw;
        }
    };
    run([&]() -> task<> {
        auto ended = co_await cut_after(1s, parent);
        CHECK(ended.is_cancelled());
    });
    CHECK(later);
}

task<> nested(int depth, parking& bottom) {
    if (depth == 0) {
        co_await bottom.park();
    } else {
        std::vector<task<>> child;
        child.push_back(nested(depth - 1, bottom));
        co_await gather(std::move(child));
    }
}

TEST_CASE_FIXTURE(test_loop, "cancel: a hundred thousand gathers deep, constant stack") {
    parking bottom;
    run([&]() -> task<> {
        auto handle = spawn(nested(100'000, bottom));
        while (bottom.empty()) co_await yield_now();
        handle.cancel();
        auto ended = co_await settled(std::move(handle));
        CHECK(ended.is_cancelled());
    });
    CHECK(bottom.empty());
}

task<> nested_scopes(int depth, parking& bottom) {
    cancel_scope scope;
    if (depth == 0) {
        co_await bottom.park();
    } else {
        const bool finished = co_await scope.run(nested_scopes(depth - 1, bottom));
        CHECK(finished);
    }
}

TEST_CASE_FIXTURE(test_loop, "cancel: a hundred thousand scopes deep in one task, constant stack") {
    parking bottom;
    run([&]() -> task<> {
        auto handle = spawn(nested_scopes(100'000, bottom));
        while (bottom.empty()) co_await yield_now();
        handle.cancel();
        auto ended = co_await settled(std::move(handle));
        CHECK(ended.is_cancelled());
    });
}

}  // namespace
