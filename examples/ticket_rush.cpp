// Ten tickets in shared memory, and twenty processes that want one: a lock that all of them share,
// and that a coroutine awaits, sells each ticket once.
//
// run: ticket_rush
#include <lariat/lariat.hpp>
#include <lariat/process/process.hpp>
#include <lariat/process/shm.hpp>

#include <chrono>
#include <cstdio>
#include <vector>

using namespace std::chrono_literals;

lariat::task<> buy(lariat::shm::mutex lock, lariat::shm::value<int> tickets,
                   lariat::shm::value<int> sold) {
    auto guard = co_await lock.lock();  // this coroutine waits, its process's loop goes on
    const int left = tickets.get();
    if (left == 0) co_return;
    co_await lariat::sleep(1ms);  // the booking takes a while
    tickets.set(left - 1);
    sold.set(sold.get() + 1);
}

lariat::task<> main_task() {
    lariat::shm::mutex lock;
    lariat::shm::value<int> tickets(10);
    lariat::shm::value<int> sold(0);
    std::vector<lariat::process> buyers;
    for (int i = 0; i < 20; ++i) buyers.push_back(lariat::process::start(buy, lock, tickets, sold));
    for (lariat::process& buyer : buyers) {
        const lariat::process_status status = co_await buyer.join();
        status.check();
    }
    std::printf("%d tickets sold, %d left\n", sold.get(), tickets.get());
}

int main() { lariat::run(main_task()); }
