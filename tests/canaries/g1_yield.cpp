// G1 with co_yield in the condition.
#include "canary.hpp"

using namespace canary;

task<> produce(int& seen) {
    while (co_yield seen) ++seen;
}

int main() {
    int seen = 0;
    again::left = 3;
    auto producing = produce(seen);
    const bool ended = run(producing);
    return report(ended && seen == 3, "unfinished");
}
