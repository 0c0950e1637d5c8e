// Two tasks on one thread: they print 1, 3 at once and 2, 4 half a second later, together.
//
// run: order
#include <lariat/lariat.hpp>

#include <chrono>
#include <cstdio>

using namespace std::chrono_literals;

lariat::task<> greet(const char* before, const char* after) {
    std::puts(before);
    co_await lariat::sleep(500ms);
    std::puts(after);
}

lariat::task<> main_task() {
    const auto begun = std::chrono::steady_clock::now();
    co_await lariat::gather(greet("1", "2"), greet("3", "4"));
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
    std::printf("both together took %.1f s, not 1.0 s\n", took.count());
}

int main() { lariat::run(main_task()); }
