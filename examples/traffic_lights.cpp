// Traffic lights: one event, set while the light is green. Cars that come at red wait for it; all
// that wait when it turns green drive, in the order in which they came.
//
// run: traffic_lights
#include <lariat/lariat.hpp>

#include <chrono>
#include <cstdio>
#include <functional>

using namespace std::chrono_literals;

lariat::task<> lights(lariat::event& green, int changes) {
    for (int i = 0; i < changes; ++i) {
        green.clear();
        std::puts("the light is red");
        co_await lariat::sleep(50ms);
        green.set();
        std::puts("the light is green");
        co_await lariat::sleep(50ms);
    }
}

lariat::task<> car(int number, std::chrono::milliseconds comes_after, lariat::event& green) {
    co_await lariat::sleep(comes_after);
    if (green.is_set()) {
        std::printf("car %d comes at green and drives on\n", number);
        co_return;
    }
    std::printf("car %d comes at red and waits\n", number);
    co_await green.wait();
    std::printf("car %d drives\n", number);
}

// Waiting has its limits: timeout() cuts any wait, and the event is none the worse for it.
lariat::task<> impatient(lariat::event& green) {
    co_await lariat::sleep(110ms);
    try {
        co_await lariat::timeout(5ms, green.wait());
        std::puts("the impatient one drives");
    } catch (const lariat::timeout_error&) {
        std::puts("the impatient one turns back");
    }
}

lariat::task<> main_task() {
    lariat::event green;
    auto street = [&green](lariat::task_group& group) -> lariat::task<> {
        group.spawn(lights, std::ref(green), 2);
        group.spawn(car, 1, 10ms, std::ref(green));
        group.spawn(car, 2, 20ms, std::ref(green));
        group.spawn(car, 3, 70ms, std::ref(green));
        group.spawn(car, 4, 120ms, std::ref(green));
        group.spawn(impatient, std::ref(green));
        co_return;
    };
    co_await lariat::with_group(street);
    std::puts("nobody is left in the street");
}

int main() { lariat::run(main_task()); }
