// A temporary aggregate whose member has a destructor, beside co_await.
#include "canary.hpp"

using namespace canary;

struct options {
    counted name;
    int port = 0;
};

task<> connect(options) { co_await turn(); }

task<> dial() {
    counted host;
    co_await connect({.name = host, .port = 1});
}

int main() { return report_lives(dial()); }
