// A temporary lambda that captures something with a destructor, beside co_await.
#include "canary.hpp"

using namespace canary;

template <class Body>
task<> call(Body body) {
    co_await turn();
    body();
}

task<> capture() {
    counted held;
    co_await call([held] {});
}

int main() { return report_lives(capture()); }
