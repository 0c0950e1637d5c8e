#include "process/members.hpp"

#include <lariat/process/remote_error.hpp>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>

#include <unistd.h>

namespace lariat::detail {

void member::say_failure() const noexcept {
    if (failure.empty()) return;
    try {
        parcel_reader reader(failure);
        const exception_record why = exception_record::unpack_from(reader);
        const std::string line = "lariat: " + name + " (pid " + std::to_string(pid) +
                                 ") failed and nobody joined it: " + why.type +
                                 (why.text.empty() ? "" : ": ") + why.text + '\n';
        if (::write(STDERR_FILENO, line.data(), line.size()) < 0) return;
    } catch (...) {  // it cannot be said
    }
}

member* members::free_place() noexcept {
    for (std::size_t i = 1; i < all_.size(); ++i)
        if (all_[i].pid == 0) return &all_[i];
    return nullptr;
}

void members::remove(member& gone) noexcept {
    if (gone.ending) --ending_;
    gone = member();
    --count_;
}

member* members::by_pid(pid_t pid) noexcept {
    const auto found = std::find_if(all_.begin() + 1, all_.end(),
                                    [pid](const member& each) { return each.pid == pid; });
    return found == all_.end() ? nullptr : &*found;
}

member* members::by_channel(int fd) noexcept {
    const auto found = std::find_if(all_.begin(), all_.end(), [fd](const member& each) {
        return each.pid != 0 && each.channel.get() == fd;
    });
    return found == all_.end() ? nullptr : &*found;
}

void members::end_daemons_of(pid_t parent) noexcept {
    constexpr auto patience = std::chrono::milliseconds(300);
    for (std::size_t i = 1; i < all_.size(); ++i) {
        member& each = all_[i];
        if (each.pid == 0 || !each.daemon || each.ending || each.parent != parent) continue;
        each.ending = true;
        each.killed_at = clock::now() + patience;
        ++ending_;
        (void)::kill(each.pid, SIGTERM);
    }
}

bool members::all_are_ending() noexcept { return ending_ == count_; }

int members::kill_timeout() noexcept {
    if (ending_ == 0) return -1;
    time_point next = forever;
    each([&next](const member& one) {
        if (one.ending) next = std::min(next, one.killed_at);
    });
    if (next == forever) return -1;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - clock::now());
    return std::max(0, static_cast<int>(left.count()));
}

void members::kill_overdue() noexcept {
    if (ending_ == 0) return;
    const time_point now = clock::now();
    each([now](member& one) {
        if (!one.ending || one.killed_at > now) return;
        one.killed_at = forever;
        (void)::kill(one.pid, SIGKILL);
    });
}

}  // namespace lariat::detail
