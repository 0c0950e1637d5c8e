// Other programs, run without holding up the loop: several at once, one that is fed and listened to
// line by line, one that is ended, one that is not there.
//
// run: run_programs
#include <lariat/lariat.hpp>

#include <chrono>
#include <cstdio>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

lariat::task<> several_at_once() {
    std::vector<lariat::task<lariat::program_result>> runs;
    for (const char* line : {"echo out; echo err >&2", "exit 3", "kill -TERM $$"})
        runs.push_back(lariat::run_program(lariat::subprocess_options::shell(line)));
    const auto ended = co_await lariat::gather(std::move(runs));
    for (const lariat::program_result& one : ended) {
        std::printf("exit code %d, output %zu bytes, errors %zu bytes\n", one.exit_code,
                    one.output.size(), one.errors.size());
    }
}

lariat::task<> feed_and_listen() {
    lariat::subprocess_options options("tr", "a-z", "A-Z");
    options.input = lariat::stdio::pipe();
    options.output = lariat::stdio::pipe();
    options.environment["LC_ALL"] = "C";
    lariat::subprocess upper = co_await lariat::subprocess::start(std::move(options));
    for (const char* line : {"hello\n", "from lariat\n"}) co_await upper.input().write_all(line);
    upper.input().close();
    lariat::buffered_reader lines(upper.output());
    while (auto line = co_await lines.read_line()) std::printf("tr says: %s\n", line->c_str());
    const int exit_code = co_await upper.wait();
    std::printf("tr ended with %d\n", exit_code);
}

lariat::task<> sort_much() {
    std::string numbers;
    for (int i = 200'000; i > 0; --i) numbers += std::to_string(i) + '\n';
    // Far more than a pipe holds, both ways at once.
    lariat::subprocess_options options("sort", "-n");
    const auto sorted = co_await lariat::run_program(std::move(options), std::move(numbers));
    std::printf("sorted: the first is %s, of %zu bytes\n",
                sorted.output.substr(0, sorted.output.find('\n')).c_str(), sorted.output.size());
}

lariat::task<> end_one() {
    auto options = lariat::subprocess_options::shell("trap '' TERM; echo deaf; exec sleep 1000");
    options.output = lariat::stdio::pipe();
    options.grace = 50ms;
    lariat::subprocess deaf = co_await lariat::subprocess::start(std::move(options));
    lariat::buffered_reader lines(deaf.output());
    (void)co_await lines.read_line();  // now it ignores SIGTERM
    const int exit_code = co_await deaf.stop();
    std::printf("asked, then killed: %d\n", exit_code);
}

lariat::task<> too_slow() {
    try {
        lariat::subprocess_options options("sleep", "1000");
        auto running = lariat::run_program(std::move(options));
        (void)co_await lariat::timeout(50ms, std::move(running));
    } catch (const lariat::timeout_error&) {
        std::puts("too slow: the program was ended");
    }
}

lariat::task<> main_task() {
    co_await several_at_once();
    co_await feed_and_listen();
    co_await sort_much();
    co_await lariat::gather(end_one(), too_slow());
    try {
        (void)co_await lariat::run_program(lariat::subprocess_options("no-such-program"));
    } catch (const std::system_error& error) {
        std::puts(error.what());
    }
}

int main() { lariat::run(main_task()); }
