#pragma once

#include "bench.hpp"

// The benchmarks, a file each: rows of one kind. Every figure is for one thread unless it says so.
namespace bench {

inline constexpr const char* wake_floor = "floor: wake the other core and back (eventfd)";

void memory_benches(suite& all);  // first: they want a heap nobody has used
void floor_benches(suite& all);
void await_benches(suite& all);
void spawn_benches(suite& all);
void timer_benches(suite& all);
void file_benches(suite& all);
void thread_benches(suite& all);
void subprocess_benches(suite& all);
void sync_benches(suite& all);
void queue_benches(suite& all);
void shared_benches(suite& all);
void fetch_benches(suite& all);
void scale_benches(suite& all);
void simulated_benches(suite& all);

// Only where there are processes.
void process_benches(suite& all);
void start_benches(suite& all);
void shm_benches(suite& all);
void shm_queue_benches(suite& all);
void pool_benches(suite& all);
void manager_benches(suite& all);
void notes_benches(suite& all);

}  // namespace bench
