#include "process/workers/worker.hpp"

#include <lariat/loop/loop.hpp>
#include <lariat/offload/signals.hpp>
#include <lariat/process/image_pointer.hpp>
#include <lariat/process/wire.hpp>
#include <lariat/task/cancel_scope.hpp>
#include <lariat/task/race.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/timeout.hpp>

#include "process/workers/desk.hpp"
#include "process/workers/sockets.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <memory>
#include <string>
#include <typeinfo>
#include <utility>

namespace lariat {

namespace detail {

namespace {

constexpr cell_kind counters_kind{"worker's counters"};
constexpr auto lag_period = std::chrono::milliseconds(100);
constexpr auto queue_look = std::chrono::milliseconds(10);
/// Serving takes what the queue holds within milliseconds of its stop. What is in it after that
/// came by a handshake that was under way, and has nobody.
constexpr auto queue_patience = std::chrono::seconds(1);

/// How late the loop comes to what was due: it tells of a handler that holds the thread.
task<> measure_lag(shared_counters counters) {
    for (;;) {
        const time_point due = loop::current().now() + lag_period;
        co_await sleep_until(due);
        const duration late = loop::current().now() - due;
        counters->lag_nanoseconds.store(static_cast<std::uint64_t>(late.count()),
                                        std::memory_order_relaxed);
    }
}

bool anyone_waits(const worker_state& state) noexcept {
    return std::ranges::any_of(state.listeners, [](const worker_state::held_listener& each) {
        return waiting_connections(each.listener->descriptor()) != 0;
    });
}

/// The function was cancelled. What its queues hold is still for it: serve() takes that before it
/// drains. Then nobody accepts any more, and an open listener would only make clients believe that
/// they are served: it is closed, and the supervisor told, which closes its own.
task<> close_listeners(worker_state& state) {
    const time_point enough = clock::now() + queue_patience;
    while (!state.over && anyone_waits(state) && clock::now() < enough) co_await sleep(queue_look);
    // What was the queue's last may be in the hands of a task that is ready, and has it after a leg
    // or two; serve() is over it when it waits again.
    for (int turn = 0; turn < 3; ++turn) co_await yield_now();
    for (const auto& each : state.listeners) each.listener->close();
    say_closed(state.order.desk.get());
}

task<> stop_at_signal(cancel_scope& working, signal_watch& stops, worker_state& state) {
    while (const int number = co_await stops.next()) {
        (void)number;
        if (working.is_cancelled()) continue;
        // It may be somebody else's than the supervisor's, which then knows of it by this alone.
        state.order.counters->stopping.store(1, std::memory_order_relaxed);
        say_leaving(state.order.desk.get());
        working.cancel();
        co_await close_listeners(state);
    }
}

/// The same for a thread, which is cancelled as a whole.
task<> stop_when_cancelled(worker_state& state) {
    try {
        for (;;) co_await sleep(std::chrono::hours(1));
    } catch (const cancelled&) {
        // What follows is the answer to it.
    }
    task<> closing = close_listeners(state);
    co_await shield(std::move(closing));
}

task<> run_function(cancel_scope& working, worker_context& context, worker_function function,
                    worker_counters& counters) {
    co_await working.run(function(context));
    if (!working.is_cancelled()) counters.returned.store(1, std::memory_order_relaxed);
}

task<> run_in_thread(worker_state& state, worker_context& context, worker_function function) {
    struct at_end {
        bool& over;
        explicit at_end(bool& told) noexcept : over(told) {}
        ~at_end() { over = true; }
    };
    const at_end marks(state.over);
    co_await function(context);
}

}  // namespace

// What never ends by itself runs beside the function, and is cut at its end.
task<> work_in_process(worker_order order) {
    // Ctrl-C and a terminal's end go to the whole group: the supervisor says what they mean.
    std::signal(SIGINT, SIG_IGN);
    std::signal(SIGHUP, SIG_IGN);
    const worker_function function = order.function;
    task<> lag = measure_lag(order.counters);
    auto made = std::make_unique<worker_state>(std::move(order));
    worker_state& state = *made;
    worker_context context(std::move(made));
    cancel_scope working;
    // Held from before the function says that it is ready: the supervisor may then ask for the end.
    signal_watch stops{signals(SIGTERM)};
    task<> watcher = stop_at_signal(working, stops, state);
    task<> main = run_function(working, context, function, *state.order.counters);
    co_await race(std::move(main), std::move(watcher), std::move(lag));
}

task<> work_in_thread(worker_order order) {
    const worker_function function = order.function;
    task<> lag = measure_lag(order.counters);
    auto made = std::make_unique<worker_state>(std::move(order));
    worker_state& state = *made;
    worker_context context(std::move(made));
    task<> main = run_in_thread(state, context, function);
    task<> watcher = stop_when_cancelled(state);
    co_await race(std::move(main), std::move(watcher), std::move(lag));
}

shared_counters::shared_counters() : handle_(make_cell<worker_counters>(counters_kind)) {}

shared_counters shared_counters::unpack_from(parcel_reader& from) {
    return shared_counters(
        shared_handle<worker_counters>::unpack(from, counters_kind, typeid(shared_counters)));
}

void worker_order::pack_into(parcel_writer& to) && {
    write_value(to, said_address(reinterpret_cast<std::uintptr_t>(function)));
    write_value(to, counters);
    write_value(to, std::move(desk));
    write_value(to, index);
    write_value(to, count);
    write_value(to, drain_nanoseconds);
}

worker_order worker_order::unpack_from(parcel_reader& from) {
    const auto address = read_value<std::uintptr_t>(from);
    auto counters = read_value<shared_counters>(from);
    auto desk = read_value<unique_fd>(from);
    const auto index = read_value<std::uint32_t>(from);
    const auto count = read_value<std::uint32_t>(from);
    const auto drain = read_value<std::int64_t>(from);
    return worker_order{reinterpret_cast<worker_function>(found_address(address)),
                        std::move(counters),
                        std::move(desk),
                        index,
                        count,
                        drain};
}

}  // namespace detail

worker_context::worker_context(std::unique_ptr<detail::worker_state> state) noexcept
    : state_(std::move(state)) {}

worker_context::~worker_context() = default;

tcp_listener& worker_context::listener(const std::string& address, std::uint16_t port) {
    for (const auto& held : state_->listeners)
        if (held.address == address && held.port == port) return *held.listener;
    unique_fd socket = detail::ask_for_listener(state_->order.desk.get(), address, port);
    auto made = std::make_unique<tcp_listener>(tcp_listener::adopt_shared(socket.release()));
    state_->listeners.push_back({address, port, std::move(made)});
    return *state_->listeners.back().listener;
}

serve_options worker_context::options() const noexcept {
    serve_options made;
    made.drain = duration(state_->order.drain_nanoseconds);
    made.counters = &state_->order.counters->served;
    return made;
}

void worker_context::ready() { detail::say_ready(state_->order.desk.get()); }

void worker_context::count_request(std::uint64_t count) noexcept {
    state_->order.counters->requests.fetch_add(count, std::memory_order_relaxed);
}

unsigned worker_context::index() const noexcept { return state_->order.index; }
unsigned worker_context::count() const noexcept { return state_->order.count; }
bool worker_context::stopping() const noexcept {
    return state_->order.counters->stopping.load(std::memory_order_relaxed) != 0;
}

}  // namespace lariat
