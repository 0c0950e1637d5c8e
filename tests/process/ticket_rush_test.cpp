// A hundred processes want ten tickets, in shared memory and in a file, again and again: each is
// sold once, whatever their order. 200 times each with LARIAT_TEST_LONG=1, else a short sample.
#include <lariat/process/process.hpp>
#include <lariat/process/shm/array.hpp>
#include <lariat/process/shm/mutex.hpp>
#include <lariat/process/shm/value.hpp>

#include "killed.hpp"
#include "scratch.hpp"

#include <lariat/loop/loop.hpp>
#include <lariat/offload/files.hpp>
#include <lariat/task/sleep.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <vector>

namespace {

using namespace lariat;
using namespace std::chrono_literals;
using lariat::test::family_check;

constexpr int buyers = 100;
constexpr int tickets_for_sale = 10;

int rushes() { return test::long_tests() ? 200 : 20; }

/// How many buyers came home with each ticket. Counted outside of the lock, so that a lock that
/// lets two in shows.
using receipts = shm::array<int>;

task<> buy_from_memory(shm::mutex lock, shm::value<int> left, receipts sold) {
    auto guard = co_await lock.lock();
    const int ticket = left.get();
    if (ticket == 0) co_return;
    co_await sleep(200us);  // the booking; others come meanwhile
    left.set(ticket - 1);
    guard.unlock();
    sold.fetch_add(static_cast<std::size_t>(ticket - 1), 1);
}

task<> buy_from_file(shm::mutex lock, std::string path, receipts sold) {
    auto guard = co_await lock.lock();
    const std::string text = co_await read_file(path);
    const int ticket = std::stoi(text);
    if (ticket == 0) co_return;
    co_await sleep(200us);
    co_await write_file(path, std::to_string(ticket - 1));
    guard.unlock();
    sold.fetch_add(static_cast<std::size_t>(ticket - 1), 1);
}

/// Starts all buyers, and looks at what they have once the last is home.
template <class Buy>
task<> rush(Buy start_buyer, receipts sold) {
    sold.fill(0);
    std::vector<process> all;
    for (int i = 0; i < buyers; ++i) all.push_back(start_buyer());
    int failed = 0;
    for (process& each : all) {
        const process_status ended = co_await each.join();
        failed += ended.exit_code() == 0 ? 0 : 1;
    }
    CHECK(failed == 0);
    for (std::size_t i = 0; i < sold.size(); ++i) CHECK(sold.get(i) == 1);
}

TEST_CASE_FIXTURE(family_check, "ticket rush: tickets in shared memory are never oversold") {
    run([]() -> task<> {
        const shm::mutex lock;
        const shm::value<int> left(0);
        const receipts sold(tickets_for_sale);
        for (int i = 0; i < rushes(); ++i) {
            left.set(tickets_for_sale);
            auto start_buyer = [&] { return process::start(buy_from_memory, lock, left, sold); };
            co_await rush(start_buyer, sold);
            CHECK(left.get() == 0);
        }
    }());
}

TEST_CASE_FIXTURE(family_check, "ticket rush: nor those in a file, under the lock of processes") {
    const test::scratch folder;
    run([](std::string path) -> task<> {
        const shm::mutex lock;
        const receipts sold(tickets_for_sale);
        for (int i = 0; i < rushes(); ++i) {
            co_await write_file(path, std::to_string(tickets_for_sale));
            auto start_buyer = [&] { return process::start(buy_from_file, lock, path, sold); };
            co_await rush(start_buyer, sold);
            const std::string left = co_await read_file(path);
            CHECK(left == "0");
        }
    }(folder.path("tickets")));
}

}  // namespace
