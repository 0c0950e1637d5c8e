// What a user of an installed Lariat writes: one task that awaits another.
#include <lariat/lariat.hpp>

#include <chrono>
#include <cstdio>

lariat::task<int> twice(int number) {
    co_await lariat::sleep(std::chrono::milliseconds(1));
    co_return 2 * number;
}

lariat::task<int> main_task() {
    const int answer = co_await twice(21);
    co_return answer;
}

int main() {
    const int answer = lariat::run(main_task());
    std::printf("%d\n", answer);
    return answer == 42 ? 0 : 1;
}
