// A declaration as the condition is a local variable: this common form must work everywhere.
#include "canary.hpp"

#include <optional>
#include <string>

using namespace canary;

task<std::optional<std::string>> next(int& left) {
    co_await turn();
    if (left-- == 0) co_return std::nullopt;
    co_return std::string(40, 'x');
}

task<> drain(int& left, int& seen) {
    while (auto item = co_await next(left)) seen += static_cast<int>(item->size());
}

int main() {
    int left = 3;
    int seen = 0;
    auto draining = drain(left, seen);
    const bool ended = run(draining);
    return report(ended && seen == 120, "unfinished");
}
