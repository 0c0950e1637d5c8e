#include "program.hpp"

#include "before_tests.hpp"

#include <lariat/process/family.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace lariat::test {

namespace {

std::map<std::string, role::main_function>& roles() {
    static std::map<std::string, role::main_function> all;
    return all;
}

std::pair<unique_fd, unique_fd> make_pipe() {
    std::array<int, 2> ends{};
    REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
    return {unique_fd(ends[0]), unique_fd(ends[1])};
}

/// The words of /proc/pid/stat behind the name: state, parent, ...
std::pair<char, int> stat_of(int pid) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
    std::string text;
    std::getline(file, text);
    const std::size_t bracket = text.rfind(')');
    if (bracket == std::string::npos) return {'-', 0};
    std::istringstream words(text.substr(bracket + 1));
    std::pair<char, int> found{'-', 0};
    words >> found.first >> found.second;
    return found;
}

}  // namespace

role::role(const char* name, main_function body) { roles().emplace(name, body); }

int role::play(const std::string& name) { return roles().at(name)(); }

// The tests' own family begins first of all.
std::optional<int> before_tests(int argc, char** argv) {
    if (argc == 3 && std::string(argv[1]) == "role") return role::play(argv[2]);
    start_fork_server();
    return std::nullopt;
}

std::string program::own_file() { return std::filesystem::read_symlink("/proc/self/exe").string(); }

program::program(const char* role_name, std::string self) {
    auto [their_input, input] = make_pipe();
    auto [output, their_output] = make_pipe();
    posix_spawn_file_actions_t streams;
    ::posix_spawn_file_actions_init(&streams);
    ::posix_spawn_file_actions_adddup2(&streams, their_input.get(), STDIN_FILENO);
    ::posix_spawn_file_actions_adddup2(&streams, their_output.get(), STDOUT_FILENO);
    ::posix_spawn_file_actions_adddup2(&streams, their_output.get(), STDERR_FILENO);
    std::string word = "role";
    std::string name = role_name;
    std::array<char*, 4> argv{self.data(), word.data(), name.data(), nullptr};
    const int failed = ::posix_spawn(&pid_, self.c_str(), &streams, nullptr, argv.data(), environ);
    ::posix_spawn_file_actions_destroy(&streams);
    REQUIRE(failed == 0);
    input_ = std::move(input);
    output_ = std::move(output);
}

program::~program() {
    if (pid_ < 0) return;
    kill(SIGKILL);
    (void)wait();
}

void program::kill(int number) const noexcept { ::kill(pid_, number); }

int program::wait() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

std::string program::line() {
    for (;;) {
        drop_notices();
        if (const std::size_t end = read_.find('\n'); end != std::string::npos) {
            std::string found = read_.substr(0, end);
            read_.erase(0, end + 1);
            return found;
        }
        std::array<char, 4096> room{};
        const ssize_t got = ::read(output_.get(), room.data(), room.size());
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return std::exchange(read_, std::string());
        read_.append(room.data(), static_cast<std::size_t>(got));
    }
}

std::string program::rest() {
    std::array<char, 4096> room{};
    for (;;) {
        const ssize_t got = ::read(output_.get(), room.data(), room.size());
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        read_.append(room.data(), static_cast<std::size_t>(got));
    }
    drop_notices();
    return std::exchange(read_, std::string());
}

void program::drop_notices() {
    const std::string notice = "lariat: io_uring is refused";
    for (std::size_t at = 0; at < read_.size();) {
        const std::size_t end = read_.find('\n', at);
        if (end == std::string::npos) return;
        if (read_.compare(at, notice.size(), notice) == 0) {
            read_.erase(at, end + 1 - at);
        } else {
            at = end + 1;
        }
    }
}

void wait_for_tester() noexcept {
    char nothing = 0;
    while (::read(STDIN_FILENO, &nothing, 1) < 0 && errno == EINTR) {
    }
}

void say(const std::string& line) noexcept {
    const std::string all = line + '\n';
    if (::write(STDOUT_FILENO, all.data(), all.size()) < 0) return;
}

bool is_there(int pid) noexcept { return ::kill(pid, 0) == 0; }

bool is_zombie(int pid) { return stat_of(pid).first == 'Z'; }

int parent_of(int pid) { return stat_of(pid).second; }

bool goes(int pid, std::chrono::seconds within) {
    const unique_fd watch(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!watch) return true;
    pollfd ended{watch.get(), POLLIN, 0};
    constexpr int look = 50;  // ms; one more of them if this process stands still itself
    for (auto left = within / std::chrono::milliseconds(look); left > 0; --left)
        if (::poll(&ended, 1, look) == 1) return true;
    return false;
}

std::string children_of(int pid) {
    const std::string number = std::to_string(pid);
    std::ifstream file("/proc/" + number + "/task/" + number + "/children");
    std::string text;
    std::getline(file, text);
    return text;
}

}  // namespace lariat::test
