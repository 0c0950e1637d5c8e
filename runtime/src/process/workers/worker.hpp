#pragma once

#include <lariat/base/unique_fd.hpp>
#include <lariat/process/shm/shared_handle.hpp>
#include <lariat/process/workers.hpp>
#include <lariat/task/task.hpp>

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

namespace lariat::detail {

/// What a worker counts, where its supervisor can read it.
struct worker_counters {
    serve_counters served;
    std::atomic<std::uint64_t> requests{0};
    std::atomic<std::uint64_t> lag_nanoseconds{0};  ///< how late its loop woke last
    std::atomic<std::uint32_t> stopping{0};         ///< 1: it was asked to end
    std::atomic<std::uint32_t> returned{0};         ///< 1: its function has, of itself
};

/// A handle of them, for the worker and its supervisor.
class shared_counters {
 public:
    shared_counters();
    [[nodiscard]] worker_counters& operator*() const noexcept { return *handle_; }
    [[nodiscard]] worker_counters* operator->() const noexcept { return handle_.get(); }

    void pack_into(parcel_writer& to) const { handle_.pack_into(to); }
    [[nodiscard]] static shared_counters unpack_from(parcel_reader& from);

 private:
    explicit shared_counters(shared_handle<worker_counters> handle) noexcept
        : handle_(std::move(handle)) {}

    shared_handle<worker_counters> handle_;
};

/// What a worker is told when it starts; goes to a process as an argument.
struct worker_order {
    worker_function function = nullptr;
    shared_counters counters;
    unique_fd desk;
    std::uint32_t index = 0;
    std::uint32_t count = 0;
    std::int64_t drain_nanoseconds = 0;

    void pack_into(parcel_writer& to) &&;
    [[nodiscard]] static worker_order unpack_from(parcel_reader& from);
};

struct worker_state {
    explicit worker_state(worker_order given) noexcept : order(std::move(given)) {}

    struct held_listener {
        std::string address;
        std::uint16_t port;
        std::unique_ptr<tcp_listener> listener;  // a reference to it was given away
    };

    worker_order order;
    std::vector<held_listener> listeners;
    bool over = false;  ///< the function has ended
};

/// The worker's main task, in a process of its own: it ends at SIGTERM.
task<> work_in_process(worker_order order);
/// In a thread: it ends when it is cancelled.
task<> work_in_thread(worker_order order);

}  // namespace lariat::detail
