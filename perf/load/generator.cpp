#include "generator.hpp"

#include <arpa/inet.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <stdexcept>
#include <system_error>

namespace echo_load {

namespace {

constexpr double nanoseconds_a_second = 1e9;
constexpr double longest_setup_seconds = 30;
constexpr std::size_t connecting_at_once = 128;  // below any server's backlog

// connect() searches the 28,232 local ports of a source address for one that is free towards the
// server, slowly once most are taken or in TIME_WAIT; a fresh 127.0.0.x has all of them.
constexpr std::uint64_t connections_an_address = 10'000;
constexpr std::uint64_t addresses = 250;

nanoseconds_t after(double seconds) {
    return now() + static_cast<nanoseconds_t>(seconds * nanoseconds_a_second);
}

double own_cpu_seconds() {
    rusage use{};
    getrusage(RUSAGE_SELF, &use);
    const auto seconds = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    };
    return seconds(use.ru_utime) + seconds(use.ru_stime);
}

double seconds_of(std::chrono::nanoseconds time) {
    return std::chrono::duration<double>(time).count();
}

// A run that follows another finds that one's last ports in TIME_WAIT: each process starts at an
// address of its own.
in_addr_t source_for(const sockaddr_in& server, std::uint64_t opened, bool churn) {
    const std::uint64_t turn = opened / connections_an_address;
    const bool loopback = (ntohl(server.sin_addr.s_addr) >> 24) == 127;
    if (!loopback || (!churn && turn == 0)) return INADDR_ANY;
    const std::uint64_t start = churn ? static_cast<std::uint64_t>(getpid()) : 0;
    return htonl(0x7f000001U + static_cast<std::uint32_t>((start + turn) % addresses));
}

}  // namespace

generator::generator(const options& chosen)
    : options_(chosen), shared_(chosen.size, chosen.pipeline, chosen.mode == mode::churn) {
    server_.sin_family = AF_INET;
    server_.sin_port = htons(chosen.port);
    if (inet_pton(AF_INET, chosen.host.c_str(), &server_.sin_addr) != 1) {
        throw std::runtime_error("--host: not an IPv4 address: " + chosen.host);
    }
    shared_.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (shared_.epoll < 0) {
        throw std::system_error(errno, std::generic_category(), "epoll_create1");
    }
    for (std::size_t i = 0; i < chosen.connections; ++i) {
        connections_.push_back(
            std::make_unique<connection>(shared_, static_cast<std::uint32_t>(i)));
    }
}

generator::~generator() {
    connections_.clear();
    close(shared_.epoll);
}

template <class Condition>
void generator::pump(nanoseconds_t until, const Condition& finished) {
    while (now() < until && !finished()) {
        if (interval_ > 0) grant_due_requests();
        wait_once(until);
    }
}

outcome generator::run() {
    outcome found;
    found.memory_before = memory_of(options_.server_pids);
    switch (options_.mode) {
        case mode::echo: run_echo(found); break;
        case mode::churn: run_churn(found); break;
        case mode::idle: run_idle(found); break;
    }
    found.memory_after = memory_of(options_.server_pids);
    return found;
}

void generator::run_echo(outcome& found) {
    open_all();
    start_traffic();
    pump(after(options_.warmup_seconds), [] { return false; });
    measure(found, options_.duration_seconds);
}

void generator::run_churn(outcome& found) {
    for (auto& each : connections_) open(*each);
    pump(after(options_.warmup_seconds), [] { return false; });
    measure(found, options_.duration_seconds);
}

// The echo on each connection proves that the server has accepted it and serves it: a connection
// that lies in the listen queue costs a server nothing.
void generator::run_idle(outcome& found) {
    open_all();
    for (auto& each : connections_) each->grant(1);
    pump(after(longest_setup_seconds),
         [&] { return shared_.tally.errors > 0 || shared_.tally.requests == connections_.size(); });
    if (shared_.tally.errors > 0) throw std::runtime_error(shared_.tally.first_error);
    if (shared_.tally.requests != connections_.size()) {
        throw std::runtime_error("not every connection was answered");
    }
    measure(found, options_.duration_seconds);
}

void generator::measure(outcome& found, double seconds) {
    const double own_before = own_cpu_seconds();
    const auto cpu_before = cpu_time_of(options_.server_pids);
    const auto kernel_before = kernel_time_of(options_.server_pids);
    const nanoseconds_t start = now();
    shared_.tally.start_phase(start);
    pump(after(seconds), [] { return false; });
    const nanoseconds_t end = now();
    shared_.tally.heard(end);
    found.seconds = static_cast<double>(end - start) / nanoseconds_a_second;
    found.server_cpu_seconds = seconds_of(cpu_time_of(options_.server_pids) - cpu_before);
    found.server_kernel_seconds = seconds_of(kernel_time_of(options_.server_pids) - kernel_before);
    found.load_cpu_seconds = own_cpu_seconds() - own_before;
}

void generator::open_all() {
    const nanoseconds_t deadline = after(longest_setup_seconds);
    std::size_t next = 0;
    const auto all_open = [&] {
        while (next < connections_.size() && connecting_ < connecting_at_once) {
            ++connecting_;
            open(*connections_[next++]);
        }
        if (shared_.tally.errors > 0) throw std::runtime_error(shared_.tally.first_error);
        return next == connections_.size() && connecting_ == 0;
    };
    if (all_open()) return;
    pump(deadline, all_open);
    if (connecting_ > 0) throw std::runtime_error("the server does not accept connections");
}

void generator::open(connection& which) {
    which.open(server_, source_for(server_, opened_++, options_.mode == mode::churn));
}

void generator::start_traffic() {
    started_ = now();
    if (options_.rate == 0) {
        refill_ = true;
        for (auto& each : connections_) each->grant(options_.pipeline);
        return;
    }
    interval_ = nanoseconds_a_second / options_.rate;
    const double turn = interval_ * static_cast<double>(connections_.size());
    for (std::size_t i = 0; i < connections_.size(); ++i) {
        connections_[i]->schedule(
            started_ + static_cast<nanoseconds_t>(interval_ * static_cast<double>(i)),
            std::max<nanoseconds_t>(1, static_cast<nanoseconds_t>(turn)));
    }
}

void generator::wait_once(nanoseconds_t until) {
    nanoseconds_t wake = until;
    if (interval_ > 0) {
        wake = std::min(
            wake, started_ + static_cast<nanoseconds_t>(interval_ * static_cast<double>(granted_)));
    }
    const nanoseconds_t left = std::max<nanoseconds_t>(0, wake - now());
    const timespec timeout{.tv_sec = left / 1'000'000'000, .tv_nsec = left % 1'000'000'000};
    std::array<epoll_event, 512> ready;
    const int count = epoll_pwait2(shared_.epoll, ready.data(), static_cast<int>(ready.size()),
                                   &timeout, nullptr);
    if (count < 0 && errno != EINTR) {
        throw std::system_error(errno, std::generic_category(), "epoll_pwait2");
    }
    for (int i = 0; i < count; ++i) {
        const epoll_event& event = ready[static_cast<std::size_t>(i)];
        on_ready(event.data.u32, event.events);
    }
}

// Request k is due at k * interval and belongs to connection k modulo their number.
void generator::grant_due_requests() {
    const auto due =
        static_cast<std::uint64_t>(static_cast<double>(now() - started_) / interval_) + 1;
    for (; granted_ < due; ++granted_) connections_[granted_ % connections_.size()]->grant(1);
}

void generator::on_ready(std::uint32_t index, std::uint32_t events) {
    connection& which = *connections_[index];
    const bool was_connecting = !which.is_open();
    which.on_event(events, refill_);
    if (was_connecting && connecting_ > 0) --connecting_;
    if (options_.mode == mode::churn && which.is_closed()) return open(which);
    if (which.is_closed() && shared_.tally.errors >= connections_.size()) {
        throw std::runtime_error("no connection is left: " + shared_.tally.first_error);
    }
}

}  // namespace echo_load
