// Two bakers and three eaters share a counter with room for three buns, in three ways to end: the
// counter is closed, every eater is handed a poison pill, or join() says that all is eaten.
//
// run: producer_consumer
#include <lariat/lariat.hpp>

#include <chrono>
#include <cstdio>
#include <functional>
#include <optional>

using namespace std::chrono_literals;

using counter = lariat::queue<std::optional<int>>;  // an empty bun is a poison pill

lariat::task<> bake(counter& buns, int first, int last) {
    for (int bun = first; bun <= last; ++bun) co_await buns.put(bun);  // waits while it is full
}

lariat::task<> eat(counter& buns, int& eaten) {
    while (auto bun = co_await buns.get()) {  // ends when the counter is closed and empty
        if (!*bun) break;                     // a pill: this eater goes home
        co_await lariat::sleep(1ms);
        ++eaten;
        buns.task_done();
    }
}

lariat::task<> end_by_close() {
    counter buns(3);
    int eaten = 0;
    auto day = [&](lariat::task_group& eaters) -> lariat::task<> {
        for (int i = 0; i < 3; ++i) eaters.spawn(eat, std::ref(buns), std::ref(eaten));
        co_await lariat::gather(bake(buns, 1, 50), bake(buns, 51, 100));
        std::printf("close: the bakers are done; buns left on the counter: %zu\n", buns.size());
        buns.close();  // the eaters take what is left, then their loops end
    };
    co_await lariat::with_group(day);
    std::printf("close: %d buns were eaten\n", eaten);
    const auto late = co_await lariat::nothrow(buns.put(101));
    std::printf("close: one more bun? %s\n", late.error().message().c_str());
}

lariat::task<> end_by_pill() {
    counter buns(3);
    int eaten = 0;
    auto day = [&](lariat::task_group& eaters) -> lariat::task<> {
        for (int i = 0; i < 3; ++i) eaters.spawn(eat, std::ref(buns), std::ref(eaten));
        co_await bake(buns, 1, 30);
        for (int i = 0; i < 3; ++i) co_await buns.put(std::nullopt);  // one pill an eater
    };
    co_await lariat::with_group(day);
    std::printf("pills: %d buns were eaten, three eaters went home\n", eaten);
}

lariat::task<> end_by_join() {
    counter buns(3);
    int eaten = 0;
    auto day = [&](lariat::task_group& eaters) -> lariat::task<> {
        for (int i = 0; i < 3; ++i) eaters.spawn(eat, std::ref(buns), std::ref(eaten));
        co_await bake(buns, 1, 20);
        co_await buns.join();  // until task_done() was called for every bun
        std::printf("join: %d buns were eaten, and the eaters wait for more\n", eaten);
        eaters.cancel();
    };
    co_await lariat::with_group(day);
}

lariat::task<> main_task() {
    co_await end_by_close();
    co_await end_by_pill();
    co_await end_by_join();

    lariat::queue<int> small(1);
    small.put_nowait(1);
    try {
        co_await lariat::timeout(10ms, small.put(2));
    } catch (const lariat::timeout_error&) {
        std::printf("a put that ran out of time has put nothing: size %zu\n", small.size());
    }
    try {
        small.put_nowait(2);
    } catch (const lariat::queue_full& error) {
        std::printf("%s\n", error.what());
    }
}

int main() { lariat::run(main_task()); }
