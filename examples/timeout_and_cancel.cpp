// Time limits, cancellation and a last word: `cancelled` is no std::exception, so a catch of those
// does not swallow it; destructors clean up; shield() protects an await from being cancelled.
//
// run: timeout_and_cancel
#include <lariat/lariat.hpp>

#include <chrono>
#include <cstdio>
#include <exception>
#include <utility>

using namespace std::chrono_literals;

lariat::task<> last_word(const char* text) {
    co_await lariat::sleep(20ms);
    std::puts(text);
}

lariat::task<> worker() {
    bool cut = false;
    try {
        co_await lariat::sleep(1h);
    } catch (const std::exception&) {
        std::puts("never printed: a cancelled task does not come by here");
    } catch (const lariat::cancelled&) {
        cut = true;  // to say something first; it is thrown on below
    }
    if (cut) {
        co_await lariat::shield(last_word("worker: cancelled, but this still gets done"));
        throw lariat::cancelled();
    }
}

lariat::task<int> answer_after(std::chrono::milliseconds delay, int value) {
    co_await lariat::sleep(delay);
    co_return value;
}

lariat::task<> main_task() {
    try {
        const int late = co_await lariat::timeout(30ms, answer_after(1s, 1));
        std::printf("never printed: %d\n", late);
    } catch (const lariat::timeout_error& error) {
        std::printf("timeout: %s\n", error.what());
    }

    auto handle = lariat::spawn(worker());
    co_await lariat::sleep(10ms);
    handle.cancel();
    const auto outcome = co_await lariat::settled(std::move(handle));
    std::printf("worker was cancelled: %s\n", outcome.is_cancelled() ? "yes" : "no");

    const auto first = co_await lariat::race(answer_after(300ms, 1), answer_after(10ms, 2));
    std::printf("race: number %zu won with %d\n", first.index, first.value);

    lariat::cancel_scope scope;
    scope.expires_after(25ms);
    const bool finished = co_await scope.run(lariat::sleep(1h));
    std::printf("the scope's work finished: %s\n", finished ? "yes" : "no, its deadline came");
}

int main() { lariat::run(main_task()); }
