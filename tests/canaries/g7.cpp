// A loop over tasks that end at once needs a tail call for each symmetric transfer, else the stack
// grows with every one.
#include "canary.hpp"

using namespace canary;

task<int> one() { co_return 1; }

task<> many(int& sum) {
    for (int i = 0; i < 1'000'000; ++i) {
        const int got = co_await one();
        sum += got;
    }
}

int main() {
    int sum = 0;
    auto adding = many(sum);
    const bool ended = run(adding);
    return report(ended && sum == 1'000'000, "unfinished");
}
