// Work for the processor goes to processes, one a core, and is awaited from one loop: the answers
// come in order, a failure comes with its type and words, and a worker that dies takes only the
// call in its hands along.
//
// run: process_pool
#include <lariat/lariat.hpp>
#include <lariat/process/pool.hpp>

#include <csignal>
#include <cstdio>
#include <numeric>
#include <stdexcept>
#include <vector>

bool is_prime(long n) {
    for (long i = 2; i * i <= n; ++i)
        if (n % i == 0) return false;
    return n >= 2;
}

long checked_root(long n) {
    if (n < 0) throw std::invalid_argument("no root of a negative number");
    long root = 0;
    while ((root + 1) * (root + 1) <= n) ++root;
    return root;
}

void crash() { ::raise(SIGKILL); }

lariat::task<> count_primes(lariat::process_pool& pool) {
    std::vector<long> numbers(100'000);
    std::iota(numbers.begin(), numbers.end(), 0);
    const std::vector<bool> answers = co_await pool.map(is_prime, numbers);
    long count = 0;
    for (const bool prime : answers) count += prime ? 1 : 0;
    std::printf("%ld primes below 100000\n", count);
}

lariat::task<> main_task() {
    lariat::process_pool pool(2);
    co_await count_primes(pool);
    const long root = co_await pool.run(checked_root, 1'000'000);
    std::printf("the root of a million is %ld\n", root);
    try {
        const long none = co_await pool.run(checked_root, -1);
        std::printf("%ld?\n", none);
    } catch (const std::invalid_argument& error) {
        std::printf("a worker says: %s\n", error.what());
    }
    try {
        co_await pool.run(crash);
    } catch (const lariat::worker_died& error) {
        std::printf("a worker died of signal %d\n", error.signal());
    }
    const long again = co_await pool.run(checked_root, 144);
    std::printf("another took its place: the root of 144 is %ld\n", again);
    co_await pool.close();
}

int main() { lariat::run(main_task()); }
