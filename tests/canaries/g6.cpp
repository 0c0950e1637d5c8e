// A conditional between two temporaries with destructors, on an awaited condition.
#include "canary.hpp"

using namespace canary;

task<bool> yes() {
    co_await turn();
    co_return true;
}

task<> choose() { counted chosen = co_await yes() ? counted() : counted(); }

int main() { return report_lives(choose()); }
