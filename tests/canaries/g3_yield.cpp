// G3 with co_yield: an aggregate temporary is the item.
#include "canary.hpp"

using namespace canary;

struct item {
    counted name;
    int number = 0;
};

task<> produce() {
    counted name;
    co_yield item{.name = name, .number = 1};
}

int main() { return report_lives(produce()); }
