// Objects in a manager's process: one operation after the other, and many under way at a time.
#include <lariat/lariat.hpp>
#include <lariat/process/manager.hpp>

#include <cstddef>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include "benches.hpp"

namespace {

using bench::wall_watch;
using dict = lariat::managed_dict<long, long>;

constexpr std::size_t operations = 10'000;
constexpr std::size_t at_a_time = 64;

class counter {
 public:
    long add(long n) noexcept { return value_ += n; }

 private:
    long value_ = 0;
};

// What is measured, of an object of its own each.

struct set_item {
    using object = dict;
    static lariat::task<> run(dict shared, std::size_t times) {
        for (std::size_t i = 0; i < times; ++i) co_await shared.set(1L, 2L);
    }
};

struct get_item {
    using object = dict;
    static lariat::task<> run(dict shared, std::size_t times) {
        co_await shared.set(1L, 2L);
        for (std::size_t i = 0; i < times; ++i) {
            const std::optional<long> found = co_await shared.get(1L);
            if (found != 2) throw std::runtime_error("a wrong value");
        }
    }
};

struct call_method {
    using object = lariat::proxy<counter>;
    static lariat::task<> run(object shared, std::size_t times) {
        long last = 0;
        for (std::size_t i = 0; i < times; ++i) {
            const long sum = co_await shared.call<&counter::add>(1L);
            if (sum <= last) throw std::runtime_error("a wrong sum");
            last = sum;
        }
    }
};

struct lock_and_unlock {
    using object = lariat::managed_mutex;
    static lariat::task<> run(object shared, std::size_t times) {
        for (std::size_t i = 0; i < times; ++i) auto guard = co_await shared.lock();
    }
};

/// The time of one, when so many tasks do nothing else.
template <class Work>
lariat::task<double> measure(std::size_t tasks) {
    const lariat::manager holder = lariat::manager::start();
    const auto shared = co_await holder.make<typename Work::object>();
    auto warm_up = Work::run(shared, 1);
    co_await std::move(warm_up);
    std::vector<lariat::task<>> lines;
    lines.reserve(tasks);
    for (std::size_t i = 0; i < tasks; ++i) lines.push_back(Work::run(shared, operations / tasks));
    const wall_watch watch;
    co_await lariat::gather(std::move(lines));
    const double each = watch.each(operations / tasks * tasks) / 1e3;
    co_await holder.shutdown();
    co_return each;
}

template <class Work>
double one_at_a_time() {
    return lariat::run(measure<Work>(1));
}
template <class Work>
double many_at_a_time() {
    return lariat::run(measure<Work>(at_a_time));
}

}  // namespace

void bench::manager_benches(suite& all) {
    all.add("managed_dict set, one at a time", "us", 50, one_at_a_time<set_item>);
    all.add("managed_dict get, one at a time", "us", 50, one_at_a_time<get_item>);
    all.add("managed_dict set, 64 at a time", "us", 3, many_at_a_time<set_item>);
    all.add("managed_dict get, 64 at a time", "us", 3, many_at_a_time<get_item>);
    all.add("manager: a method, one at a time", "us", 50, one_at_a_time<call_method>);
    all.add("manager: a method, 64 at a time", "us", 3, many_at_a_time<call_method>);
    all.add("managed_mutex lock and unlock, one at a time", "us", 0,
            one_at_a_time<lock_and_unlock>);
}
