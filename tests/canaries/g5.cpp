// A temporary with a destructor left of && or ||, with co_await right of it.
#include "canary.hpp"

using namespace canary;

bool same(const counted&, int number) { return number == 2; }

task<bool> yes() {
    co_await turn();
    co_return true;
}

task<> both(bool& result) {
    const bool got = same(counted(), 2) && co_await yes();
    result = got;
}

int main() {
    bool result = false;
    auto checking = both(result);
    const bool ended = run(checking);
    return report(ended && result && counted::made == counted::gone, "wrong answer");
}
