// Ten workers want a service that is not up yet. One task looks for it, and says so by an event;
// the workers wait for that, complain now and then, and none of them knocks at a closed door.
//
// run: wait_for_service
#include <lariat/lariat.hpp>

#include <chrono>
#include <cstdio>
#include <functional>
#include <string>
#include <system_error>

using namespace std::chrono_literals;

lariat::task<> greet(lariat::tcp_stream client) {
    const std::string greeting = "welcome\n";
    co_await client.write_all(greeting);
}

// The service: it takes its time to start, and ends with the scope that runs it.
lariat::task<> service(lariat::endpoint where) {
    co_await lariat::sleep(250ms);
    auto listener = lariat::tcp_listener::bind(where);
    std::puts("service: up");
    co_await lariat::serve(listener, greet, lariat::serve_options());
}

lariat::task<> look_for(lariat::endpoint where, lariat::event& up) {
    for (int tries = 1; !up.is_set(); ++tries) {
        try {
            const lariat::tcp_stream probe = co_await lariat::tcp_stream::connect(where);
            std::printf("checker: the service is there, at try %d\n", tries);
            up.set();
        } catch (const std::system_error& error) {
            if (tries == 1) std::printf("checker: %s; will try again\n", error.what());
        }
        co_await lariat::sleep(20ms);
    }
}

lariat::task<> worker(int number, lariat::endpoint where, lariat::event& up, int& served) {
    for (int waits = 1; !up.is_set(); ++waits) {
        try {
            co_await lariat::timeout(100ms, up.wait());
        } catch (const lariat::timeout_error&) {
            if (number == 1) std::printf("worker 1: still waiting, %d00 ms so far\n", waits);
        }
    }
    lariat::tcp_stream stream = co_await lariat::tcp_stream::connect(where);
    lariat::buffered_reader reader(stream);
    const auto greeting = co_await reader.read_line();
    if (greeting == "welcome") ++served;
}

lariat::endpoint free_place() {
    const auto taken = lariat::tcp_listener::bind(lariat::endpoint("127.0.0.1", 0));
    return taken.local_endpoint();  // nobody listens there once `taken` is gone
}

lariat::task<> main_task() {
    const lariat::endpoint where = free_place();
    lariat::event up;
    int served = 0;
    auto workers = [&](lariat::task_group& group) -> lariat::task<> {
        group.spawn(look_for, where, std::ref(up));
        for (int i = 1; i <= 10; ++i) group.spawn(worker, i, where, std::ref(up), std::ref(served));
        co_return;
    };
    auto running = lariat::spawn(service(where));  // run() ends it with the main task
    co_await lariat::with_group(workers);
    std::printf("%d workers were served\n", served);
}

int main() { lariat::run(main_task()); }
