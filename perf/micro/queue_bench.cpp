// Items on their way from one task to another: queues, channels, select.
#include <lariat/lariat.hpp>

#include <cstddef>

#include "benches.hpp"

namespace {

using bench::stopwatch;

constexpr std::size_t items = 1'000'000;

lariat::task<> put_all(lariat::queue<std::size_t>& way) {
    for (std::size_t i = 0; i < items; ++i) co_await way.put(i);
    way.close();
}

lariat::task<> get_all(lariat::queue<std::size_t>& way, std::size_t& sum) {
    while (auto item = co_await way.get()) sum += *item;
}

lariat::task<double> through_queue(std::size_t capacity) {
    lariat::queue<std::size_t> way(capacity);
    std::size_t sum = 0;
    const stopwatch watch;
    co_await lariat::gather(put_all(way), get_all(way, sum));
    bench::keep(sum);
    co_return watch.each(items);
}

lariat::task<> send_all(lariat::channel<std::size_t>& way, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) co_await way.send(i);
}

lariat::task<> receive_all(lariat::channel<std::size_t>& way, std::size_t& sum) {
    for (std::size_t i = 0; i < items; ++i) {
        const auto item = co_await way.receive();
        sum += *item;
    }
}

lariat::task<double> through_channel(std::size_t capacity) {
    lariat::channel<std::size_t> way(capacity);
    std::size_t sum = 0;
    const stopwatch watch;
    co_await lariat::gather(send_all(way, items), receive_all(way, sum));
    bench::keep(sum);
    co_return watch.each(items);
}

lariat::task<> select_all(lariat::channel<std::size_t>& a, lariat::channel<std::size_t>& b,
                          std::size_t& sum) {
    for (std::size_t i = 0; i < items; ++i) {
        const auto item = co_await lariat::select(a.receive(), b.receive());
        sum += *item.value;
    }
}

lariat::task<double> through_select() {
    lariat::channel<std::size_t> a;
    lariat::channel<std::size_t> b;
    std::size_t sum = 0;
    const stopwatch watch;
    co_await lariat::gather(send_all(a, items / 2), send_all(b, items / 2), select_all(a, b, sum));
    bench::keep(sum);
    co_return watch.each(items);
}

}  // namespace

void bench::queue_benches(suite& all) {
    all.add("queue, capacity 1, per item", "ns", 18, [] { return lariat::run(through_queue(1)); });
    all.add("queue, capacity 64, per item", "ns", 6, [] { return lariat::run(through_queue(64)); });
    all.add("queue, unbounded, per item", "ns", 5, [] { return lariat::run(through_queue(0)); });
    all.add("channel, capacity 0, per item", "ns", 0,
            [] { return lariat::run(through_channel(0)); });
    all.add("channel, capacity 64, per item", "ns", 0,
            [] { return lariat::run(through_channel(64)); });
    all.add("select over two channels, per item", "ns", 0,
            [] { return lariat::run(through_select()); });
}
