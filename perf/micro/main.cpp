// Micro benchmarks: micro_bench [--group runtime|process|scale] [--filter TEXT] [--repeats 7]
// [--json FILE|-] [--pin CPU]. LARIAT_BACKEND chooses the driver.
#include <cerrno>
#include <cstdio>
#include <exception>
#include <system_error>

#include "benches.hpp"

namespace {

void save_json(const bench::suite& all, const std::string& path) {
    if (path == "-") return all.write_json(stdout);
    std::FILE* file = std::fopen(path.c_str(), "w");
    if (file == nullptr) throw std::system_error(errno, std::generic_category(), path);
    all.write_json(file);
    if (std::fclose(file) != 0) throw std::system_error(errno, std::generic_category(), path);
}

void add_runtime(bench::suite& all) {
    bench::memory_benches(all);
    bench::floor_benches(all);
    bench::await_benches(all);
    bench::spawn_benches(all);
    bench::timer_benches(all);
    bench::file_benches(all);
    bench::thread_benches(all);
    bench::subprocess_benches(all);
    bench::sync_benches(all);
    bench::queue_benches(all);
    bench::shared_benches(all);
    bench::fetch_benches(all);
}

#ifdef BENCH_PROCESSES
void add_processes(bench::suite& all) {
    bench::process_benches(all);
    bench::start_benches(all);
    bench::shm_benches(all);
    bench::shm_queue_benches(all);
    bench::pool_benches(all);
    bench::manager_benches(all);
    bench::notes_benches(all);
}
#else
void add_processes(bench::suite&) {}
#endif

void add_scale(bench::suite& all) {
    bench::scale_benches(all);
#ifdef BENCH_SIMULATED
    bench::simulated_benches(all);
#endif
}

}  // namespace

int main(int argc, char** argv) {
    try {
        const bench::settings chosen = bench::parse_settings(argc, argv);
        if (chosen.pin >= 0) bench::pin_this_thread(chosen.pin);
        bench::suite all(chosen);
        all.print_header();
        const bool everything = chosen.group.empty();
        if (everything || chosen.group == "runtime") add_runtime(all);
        if (everything || chosen.group == "process") add_processes(all);
        if (everything || chosen.group == "scale") add_scale(all);
        if (!chosen.json.empty()) save_json(all, chosen.json);
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "micro_bench: %s\n", failure.what());
        return 1;
    }
}
