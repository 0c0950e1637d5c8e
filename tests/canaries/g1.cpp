// No local variable, and co_await in the condition of a loop: the body never finishes.
#include "canary.hpp"

using namespace canary;

task<bool> next(int& left) {
    co_await turn();
    co_return left-- > 0;
}

task<> drain(int& left, int& seen) {
    while (co_await next(left)) ++seen;
}

int main() {
    int left = 3;
    int seen = 0;
    auto draining = drain(left, seen);
    const bool ended = run(draining);
    return report(ended && seen == 3, "unfinished");
}
