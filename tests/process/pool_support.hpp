#pragma once

#include <lariat/process/pool.hpp>
#include <lariat/process/shm/event.hpp>

#include "killed.hpp"

#include <lariat/base/error.hpp>
#include <lariat/loop/loop.hpp>
#include <lariat/task/gather.hpp>
#include <lariat/task/settled.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <numeric>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <unistd.h>

namespace lariat::test {

using namespace std::chrono_literals;

/// As family_check; and this process has no children at the end.
class pool_check : public family_check {
 public:
    ~pool_check() { CHECK(active_children().empty()); }
};

inline long square(long n) { return n * n; }
inline int own_pid() { return ::getpid(); }
inline void nothing() {}
inline void kill_self(int number) { ::raise(number); }
inline void leave_with(int code) { std::exit(code); }
inline void fail_with(std::string text) { throw std::runtime_error(text); }

/// A function that is under way until it is let go.
inline int stay(shm::event begun, shm::event go) {
    begun.set();
    go.wait_blocking();
    return ::getpid();
}
/// The same for a task.
inline task<int> stay_waiting(shm::event begun, shm::event go) {
    begun.set();
    co_await go.wait();
    co_return ::getpid();
}
inline task<int> nap(std::chrono::milliseconds length) {
    co_await sleep(length);
    co_return ::getpid();
}

/// The processes that `count` calls of function(begun, go) run in, none of which ends before the
/// last has begun.
template <class Function>
task<std::set<int>> homes_of(process_pool& pool, Function* function, std::size_t count) {
    const shm::event go;
    const std::vector<shm::event> begun(count);
    std::vector<pool_call<int>> calls;
    for (const shm::event& each : begun) calls.push_back(pool.submit(function, each, go));
    for (const shm::event& each : begun) co_await each.wait();
    go.set();
    std::set<int> pids;
    for (auto& each : calls) {
        const int pid = co_await each;
        pids.insert(pid);
    }
    co_return pids;
}
/// The workers of a pool that has so many, all of them up.
inline task<std::set<int>> meet_all(process_pool& pool, std::size_t count) {
    return homes_of(pool, stay, count);
}

inline std::vector<long> numbers_up_to(long count) {
    std::vector<long> all(static_cast<std::size_t>(count));
    std::iota(all.begin(), all.end(), 0L);
    return all;
}
inline std::vector<long> squares_of(const std::vector<long>& all) {
    std::vector<long> squares;
    for (const long each : all) squares.push_back(each * each);
    return squares;
}

/// Runs body(pool) and closes the pool.
template <class Body>
void with_pool(const process_pool_options& options, Body body) {
    run([](process_pool_options chosen, Body its_body) -> task<> {
        process_pool pool(chosen);
        auto work = its_body(pool);
        co_await std::move(work);
        co_await pool.close();
        CHECK(pool.stats().workers == 0);
    }(options, std::move(body)));
}
template <class Body>
void with_pool(std::size_t count, Body body) {
    with_pool(process_pool_options(count), std::move(body));
}

}  // namespace lariat::test
