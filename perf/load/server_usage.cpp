#include "server_usage.hpp"

#include <unistd.h>

#include <ctime>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>
#include <system_error>

namespace echo_load {

namespace {

std::string path_of(pid_t process, const char* file) {
    return "/proc/" + std::to_string(process) + "/" + file;
}

std::chrono::nanoseconds cpu_time_of(pid_t process) {
    clockid_t clock{};
    const int error = clock_getcpuclockid(process, &clock);
    if (error != 0) {
        throw std::system_error(error, std::generic_category(), "CPU clock of the server");
    }
    timespec now{};
    if (clock_gettime(clock, &now) != 0) {
        throw std::system_error(errno, std::generic_category(), "CPU clock of the server");
    }
    return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

std::chrono::nanoseconds kernel_time_of(pid_t process) {
    std::ifstream stat(path_of(process, "stat"));
    // The second field is the name in brackets and may hold anything; the third follows the last
    // bracket, and stime is the fifteenth (proc_pid_stat(5)).
    stat.ignore(std::numeric_limits<std::streamsize>::max(), ')');
    std::string field;
    for (int position = 3; position <= 15; ++position) stat >> field;
    const long ticks = field.empty() ? 0 : std::stol(field);
    return std::chrono::nanoseconds(ticks * (1'000'000'000L / sysconf(_SC_CLK_TCK)));
}

memory_use memory_of(pid_t process) {
    memory_use use;
    std::ifstream status(path_of(process, "status"));
    for (std::string line; std::getline(status, line);) {
        std::istringstream words(line);
        std::string key;
        std::int64_t kilobytes = 0;
        words >> key >> kilobytes;
        if (key == "VmRSS:") use.resident_bytes = kilobytes * 1024;
        if (key == "VmData:") use.data_bytes = kilobytes * 1024;
    }
    return use;
}

}  // namespace

std::chrono::nanoseconds cpu_time_of(const std::vector<pid_t>& processes) {
    std::chrono::nanoseconds sum{};
    for (const pid_t process : processes) sum += cpu_time_of(process);
    return sum;
}

std::chrono::nanoseconds kernel_time_of(const std::vector<pid_t>& processes) {
    std::chrono::nanoseconds sum{};
    for (const pid_t process : processes) sum += kernel_time_of(process);
    return sum;
}

memory_use memory_of(const std::vector<pid_t>& processes) {
    memory_use sum;
    for (const pid_t process : processes) {
        const memory_use one = memory_of(process);
        sum.resident_bytes += one.resident_bytes;
        sum.data_bytes += one.data_bytes;
    }
    return sum;
}

}  // namespace echo_load
