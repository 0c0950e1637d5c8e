// Generators as a pipeline: numbers -> primes -> groups, each step pulling from the one before, and
// a two-way generator that keeps a running mean of what it is sent.
//
// run: pipeline
#include <lariat/lariat.hpp>

#include <cstddef>
#include <cstdio>
#include <ranges>
#include <utility>
#include <vector>

lariat::generator<int> count_from(int first) {
    for (int number = first;; ++number) co_yield number;
}

lariat::generator<int> primes(lariat::generator<int> numbers) {
    std::vector<int> found;
    for (int number : numbers) {
        bool divided = false;
        for (int prime : found) {
            divided = number % prime == 0;
            if (divided || prime * prime > number) break;
        }
        if (divided) continue;
        found.push_back(number);
        co_yield number;
    }
}

lariat::generator<std::vector<int>> in_groups(lariat::generator<int> items, std::size_t size) {
    std::vector<int> group;
    for (int item : items) {
        group.push_back(item);
        if (group.size() < size) continue;
        co_yield group;
        group.clear();
    }
}

lariat::generator<double, double> running_mean() {
    double sum = 0;
    double mean = 0;
    for (int count = 1;; ++count) {
        const double sent = co_yield mean;
        sum += sent;
        mean = sum / count;
    }
}

int main() {
    auto groups = in_groups(primes(count_from(2)), 5);
    for (const std::vector<int>& group : std::move(groups) | std::views::take(3)) {
        for (int prime : group) std::printf("%d ", prime);
        std::puts("");
    }

    auto mean = running_mean();
    mean.next();
    for (double sent : {10.0, 20.0, 60.0}) {
        const double* now = mean.send(sent);
        std::printf("sent %.0f, the mean is %.1f\n", sent, *now);
    }
}
