#include <lariat/sync/select.hpp>

#include "death.hpp"
#include "test_loop.hpp"

#include <lariat/sync/auto_reset_event.hpp>
#include <lariat/sync/channel.hpp>
#include <lariat/sync/event.hpp>
#include <lariat/sync/queue.hpp>
#include <lariat/task/settled.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::stops_with;
using lariat::test::test_loop;

using mixed = std::variant<std::optional<int>, std::monostate, std::optional<std::string>>;
static_assert(
    std::is_same_v<await_result<decltype(select(std::declval<channel<int>::receive_wait>(),
                                                std::declval<event::awaiter>(),
                                                std::declval<queue<std::string>::get_wait>()))>,
                   select_result<mixed>>);
static_assert(
    std::is_same_v<await_result<decltype(select(std::declval<channel<int>::receive_wait>(),
                                                std::declval<queue<int>::get_wait>()))>,
                   select_result<std::optional<int>>>);

TEST_CASE_FIXTURE(test_loop,
                  "select: the arm that is ready fires at once, with its index and value") {
    channel<int> numbers(1);
    queue<std::string> words;
    event stop;
    run([&]() -> task<> {
        words.put_nowait("hello");
        const auto got = co_await select(numbers.receive(), stop.wait(), words.get());
        CHECK(got.index == 2);
        CHECK(std::get<2>(got.value) == "hello");
        CHECK(words.empty());
        stop.set();
        const auto stopped = co_await select(numbers.receive(), stop.wait(), words.get());
        CHECK(stopped.index == 1);
    });
}

TEST_CASE_FIXTURE(test_loop,
                  "select: waits until one arm can fire, and leaves the lines of the others") {
    channel<int> a;
    channel<int> b;
    event stop;
    run([&]() -> task<> {
        auto selecting = spawn([&]() -> task<int> {
            const auto got = co_await select(a.receive(), b.receive(), stop.wait(), after(1h));
            CHECK(got.index == 1);
            co_return std::get<1>(got.value).value_or(-1);
        });
        co_await sleep(1ms);
        CHECK(b.try_send(7));
        CHECK_FALSE(a.try_send(8));  // nobody waits there any more, though it has not run yet
        stop.set();
        CHECK(co_await selecting == 7);
    });
    CHECK(elapsed() == 1ms);
}

TEST_CASE_FIXTURE(test_loop,
                  "select: two items sent in one turn to two arms: one is taken, one stays") {
    queue<int> a;
    queue<int> b;
    run([&]() -> task<> {
        auto selecting = spawn([&]() -> task<std::size_t> {
            const auto got = co_await select(a.get(), b.get());
            CHECK(got.value == 2);
            co_return got.index;
        });
        co_await yield_now();
        b.put_nowait(2);
        a.put_nowait(1);
        CHECK(co_await selecting == 1);
        CHECK(a.size() == 1);
        CHECK(b.empty());
    });
}

TEST_CASE_FIXTURE(test_loop, "select: a send arm fires when somebody receives") {
    channel<std::string> to;
    channel<std::string> other;
    run([&]() -> task<> {
        auto selecting = spawn([&]() -> task<> {
            const auto sent = co_await select(other.receive(), to.send("text"));
            CHECK(sent.index == 1);
        });
        co_await yield_now();
        CHECK(to.try_receive() == "text");
        CHECK_FALSE(other.try_send("nobody is there"));
        co_await selecting;
    });
}

TEST_CASE_FIXTURE(test_loop,
                  "select: the item of a named send arm is kept when another arm fires") {
    channel<std::unique_ptr<int>> to;
    event stop;
    run([&]() -> task<> {
        auto sending = to.send(std::make_unique<int>(4));
        const auto late = co_await select(sending, after(5ms));
        CHECK(late.index == 1);
        REQUIRE(sending.item() != nullptr);
        auto receiving = spawn([&]() -> task<int> {
            const auto item = co_await to.receive();
            co_return **item;
        });
        const auto sent = co_await select(sending, stop.wait());
        CHECK(sent.index == 0);
        CHECK(sending.item() == nullptr);
        CHECK(co_await receiving == 4);
    });
    CHECK(elapsed() == 5ms);
}

TEST_CASE_FIXTURE(test_loop,
                  "select: times fire when they are due, also when another arm is always ready") {
    queue<int> busy;
    run([&]() -> task<> {
        const auto first = co_await select(after(20ms), after(10ms));
        CHECK(first.index == 1);
        CHECK(elapsed() == 10ms);
        const auto second = co_await select(busy.get(), at(now() + 5ms));
        CHECK(second.index == 1);

        spawn([&]() -> task<> {
            for (int i = 0; !busy.closed(); ++i) {
                busy.put_nowait(i);
                co_await sleep(1us);
            }
        });
        std::size_t fired = 0;
        auto ending = at(now() + 3ms);
        for (int i = 0; fired == 0 && i < 100'000; ++i) {
            const auto got = co_await select(busy.get(), ending);
            fired = got.index;
        }
        CHECK(fired == 1);
        busy.close();
        co_await sleep(1ms);
    });
}

TEST_CASE_FIXTURE(test_loop, "select: of several arms that are always ready none starves") {
    queue<int> a;
    queue<int> b;
    queue<int> c;
    std::array<int, 3> fired{};
    run([&]() -> task<> {
        for (int i = 0; i < 3000; ++i) {
            for (queue<int>* each : {&a, &b, &c}) each->put_nowait(i);
        }
        for (int i = 0; i < 3000; ++i) {
            const auto got = co_await select(a.get(), b.get(), c.get());
            ++fired[got.index];
        }
    });
    for (const int times : fired) CHECK(times > 800);
}

TEST_CASE_FIXTURE(test_loop, "select: an arm waits its turn in the line like any other task") {
    channel<int> way;
    channel<int> other;
    std::vector<int> order;
    run([&]() -> task<> {
        auto plain = [&](int mark) -> task<> {
            const auto item = co_await way.receive();
            order.push_back(mark * 10 + *item);
        };
        spawn(plain, 1);
        spawn([&]() -> task<> {
            const auto got = co_await select(other.receive(), way.receive());
            order.push_back(20 + *got.value);
        });
        spawn(plain, 3);
        co_await yield_now();
        for (int i = 1; i <= 3; ++i) CHECK(way.try_send(i));
        co_await yield_now();
    });
    CHECK(order == std::vector{11, 22, 33});
}

TEST_CASE_FIXTURE(test_loop, "select: the same channel in two arms gives each item once") {
    channel<int> way;
    std::vector<int> got;
    run([&]() -> task<> {
        auto selecting = spawn([&]() -> task<> {
            for (int i = 0; i < 3; ++i) {
                const auto item = co_await select(way.receive(), way.receive());
                got.push_back(*item.value);
            }
        });
        co_await yield_now();
        for (int i = 0; i < 3; ++i) co_await way.send(i);
        co_await selecting;
        CHECK_FALSE(way.try_send(9));
    });
    CHECK(got == std::vector{0, 1, 2});
}

TEST_CASE_FIXTURE(test_loop,
                  "select: one that sends and receives on one channel does not meet itself") {
    channel<int> way;
    run([&]() -> task<> {
        auto both = [&](int mark) -> task<std::size_t> {
            const auto ended = co_await select(way.send(mark), way.receive());
            if (ended.index == 1) {
                const auto item = std::get<1>(ended.value);
                CHECK(item == 3 - mark);
            }
            co_return ended.index;
        };
        auto one = spawn(both, 1);
        co_await yield_now();
        CHECK_FALSE(one.done());
        auto two = spawn(both, 2);
        const std::size_t first = co_await one;
        const std::size_t second = co_await two;
        CHECK(first + second == 1);  // one has sent, the other received
        CHECK_FALSE(way.try_receive().has_value());
        CHECK_FALSE(way.try_send(0));
    });
}

TEST_CASE_FIXTURE(test_loop, "select: a cancelled one has taken and given nothing") {
    channel<int> in;
    channel<int> out;
    event stop;
    run([&]() -> task<> {
        auto selecting = spawn([&]() -> task<> {
            (void)co_await select(in.receive(), out.send(1), stop.wait(), after(1h));
        });
        co_await yield_now();
        selecting.cancel();
        CHECK_FALSE(in.try_send(5));
        CHECK_FALSE(out.try_receive().has_value());
        const auto ended = co_await settled(std::move(selecting));
        CHECK(ended.is_cancelled());
        CHECK_THROWS_AS((void)co_await timeout(2ms, select(in.receive(), stop.wait())),
                        timeout_error);
        CHECK_FALSE(in.try_send(5));
    });
    CHECK(elapsed() == 2ms);
}

TEST_CASE_FIXTURE(test_loop,
                  "select: one whose arm was granted in the turn of the cancellation has it") {
    queue<int> way;
    event stop;
    int got = 0;
    run([&]() -> task<> {
        auto selecting = spawn([&]() -> task<> {
            const auto item = co_await select(way.get(), stop.wait());
            got = std::get<0>(item.value).value_or(-1);
        });
        co_await yield_now();
        way.put_nowait(6);
        selecting.cancel();
        stop.set();
        const auto ended = co_await settled(std::move(selecting));
        CHECK(ended.is_value());
    });
    CHECK(got == 6);
}

TEST_CASE_FIXTURE(test_loop,
                  "select: a closed channel's arm fires: nothing to receive, no way to send") {
    channel<int> a;
    channel<int> b;
    channel<int> c;
    run([&]() -> task<> {
        auto receiving = spawn([&]() -> task<> {
            const auto got = co_await select(a.receive(), b.receive());
            CHECK(got.index == 1);
            CHECK_FALSE(got.value.has_value());
        });
        auto sending = spawn([&]() -> task<> { (void)co_await select(c.send(1), after(1h)); });
        co_await yield_now();
        b.close();
        c.close();
        co_await receiving;
        CHECK_THROWS_AS(co_await sending, closed_error);
        CHECK_THROWS_AS((void)co_await select(c.send(1), a.receive()), closed_error);
        const auto ended = co_await select(a.receive(), b.receive());
        CHECK(ended.index == 1);
    });
}

TEST_CASE_FIXTURE(test_loop,
                  "select: an event that is set wakes each select once, with two arms in it too") {
    event go;
    auto_reset_event once;
    int woken = 0;
    run([&]() -> task<> {
        auto waits = [&]() -> task<> {
            const auto got = co_await select(go.wait(), once.wait(), go.wait());
            woken += got.index == 1 ? 100 : 1;
        };
        for (int i = 0; i < 3; ++i) spawn(waits);
        co_await yield_now();
        once.set();
        go.set();
        co_await yield_now();
        CHECK_FALSE(once.is_set());
    });
    CHECK(woken == 102);
}

TEST_CASE_FIXTURE(test_loop, "select: over a vector or a span of one kind") {
    std::array<channel<int>, 4> ways;
    run([&]() -> task<> {
        std::vector<channel<int>::receive_wait> arms;
        for (channel<int>& way : ways) arms.push_back(way.receive());
        auto selecting = spawn([&]() -> task<std::size_t> {
            const auto got = co_await select(std::move(arms));
            CHECK(got.value == 5);
            co_return got.index;
        });
        co_await yield_now();
        CHECK(ways[2].try_send(5));
        for (channel<int>& way : ways) CHECK_FALSE(way.try_send(6));
        CHECK(co_await selecting == 2);

        std::vector<channel<int>::send_wait> sends;
        for (int i = 0; i < 4; ++i) sends.push_back(ways[static_cast<std::size_t>(i)].send(i));
        auto spanning = spawn([&]() -> task<std::size_t> {
            const auto sent = co_await select(std::span(sends));
            co_return sent.index;
        });
        co_await yield_now();
        CHECK(ways[3].try_receive() == 3);
        CHECK(co_await spanning == 3);
        CHECK(sends[1].item() == 1);
    });
}

TEST_CASE_FIXTURE(test_loop, "try_select: takes what can be had now, or says that nothing can") {
    queue<int> a;
    channel<int> b;
    run([&]() -> task<> {
        CHECK_FALSE(try_select(a.get(), b.receive()).has_value());
        CHECK_FALSE(b.try_send(1));  // it has joined no line
        a.put_nowait(4);
        const auto got = try_select(a.get(), b.receive());
        REQUIRE(got.has_value());
        CHECK(got->index == 0);
        CHECK(got->value == 4);
        const auto due = try_select(a.get(), at(now()));
        REQUIRE(due.has_value());
        CHECK(due->index == 1);
        CHECK_FALSE(try_select(a.get(), after(1ns)).has_value());
        co_return;
    });
}

TEST_CASE(
    "select: an object that dies under an arm stops with the rule, as does a select of nothing") {
    CHECK(stops_with("an object must outlive the tasks that wait for it", [] {
        std::optional<channel<int>> way(std::in_place);
        test_loop loop;
        loop.run([&]() -> task<> {
            auto waits = [&]() -> task<> { (void)co_await select(way->receive(), after(1h)); };
            spawn(waits);
            co_await yield_now();
            way.reset();
        });
    }));
    CHECK(stops_with("a select needs at least one arm",
                     [] { (void)select(std::vector<event::awaiter>()); }));
}

}  // namespace
