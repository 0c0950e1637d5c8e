// A braced list that becomes a vector, beside co_await.
#include "canary.hpp"

#include <vector>

using namespace canary;

task<int> sum(std::vector<int> values) {
    int total = 0;
    for (int value : values) total += value;
    co_await turn();
    co_return total;
}

task<> add(int& total) {
    const int got = co_await sum({1, 2, 3});
    total = got;
}

int main() {
    int total = 0;
    auto adding = add(total);
    const bool ended = run(adding);
    return report(ended && total == 6, "wrong sum");
}
