#include "offload/subprocess_launch.hpp"

#include "base/signals_blocked.hpp"
#include "offload/process_cores.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <system_error>

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace lariat::detail {

namespace {

constexpr std::array<const char*, 3> stream_names{"input", "output", "errors"};

void refuse_nul(const std::string& text, const char* what) {
    if (text.find('\0') != std::string::npos)
        throw std::invalid_argument(std::string("a subprocess's ") + what + " holds a NUL");
}

template <class Pointer>
std::vector<Pointer> pointers_to(const std::vector<std::string>& texts) {
    std::vector<Pointer> pointers;
    pointers.reserve(texts.size() + 1);
    // execve(2) takes them as not const, and changes nothing.
    for (const std::string& text : texts) pointers.push_back(const_cast<char*>(text.c_str()));
    pointers.push_back(nullptr);
    return pointers;
}

/// Above the standard three, which the child is about to fill.
unique_fd above_standard(unique_fd fd) noexcept {
    if (fd.get() > STDERR_FILENO) return fd;
    return unique_fd(::fcntl(fd.get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
}

std::string quoted(const std::string& text) { return '"' + text + '"'; }

}  // namespace

launch_plan::launch_plan(const subprocess_options& options) : options_(options) {
    check();
    lay_out_environment();
    lay_out_programs();
    argv_pointers_ = pointers_to<char*>(options_.argv);
    environment_pointers_ = pointers_to<char*>(environment_);
    program_pointers_ = pointers_to<const char*>(programs_);
    orders_.programs = program_pointers_.data();
    orders_.argv = argv_pointers_.data();
    orders_.environment = environment_pointers_.data();
    if (!options_.working_directory.empty()) orders_.folder = options_.working_directory.c_str();
    orders_.own_group = options_.own_group || options_.whole_group;
    orders_.death_signal = options_.parent_death_signal;
    orders_.parent = ::getpid();
}

void launch_plan::check() const {
    using kind = stdio::kind;
    if (options_.argv.empty() || options_.argv.front().empty())
        throw std::invalid_argument("a subprocess needs a program to run");
    for (const std::string& word : options_.argv) refuse_nul(word, "argument");
    refuse_nul(options_.working_directory, "working directory");
    for (const auto& [name, value] : options_.environment) {
        refuse_nul(name, "environment");
        if (value) refuse_nul(*value, "environment");
        if (name.empty() || name.find('=') != std::string::npos)
            throw std::invalid_argument("no environment variable is named " + quoted(name));
    }
    for (const stdio* stream : {&options_.input, &options_.output, &options_.errors})
        refuse_nul(stream->path(), "file name");
    if (options_.input.what() == kind::append)
        throw std::invalid_argument("a subprocess's input cannot be appended to");
    if (options_.input.what() == kind::merged || options_.output.what() == kind::merged)
        throw std::invalid_argument("of a subprocess's streams only errors can be merged");
}

void launch_plan::lay_out_environment() {
    const auto& changes = options_.environment;
    if (options_.inherit_environment) {
        for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
            const std::string_view text = *entry;
            if (!changes.contains(std::string(text.substr(0, text.find('=')))))
                environment_.emplace_back(text);
        }
    }
    for (const auto& [name, value] : changes)
        if (value) environment_.push_back(name + '=' + *value);
}

void launch_plan::lay_out_programs() {
    const std::string& name = options_.argv.front();
    if (name.find('/') != std::string::npos) {
        programs_.push_back(name);
        return;
    }
    std::string_view folders = "/bin:/usr/bin";  // as execvp(3) without a PATH
    for (const std::string& entry : environment_)
        if (entry.starts_with("PATH=")) folders = std::string_view(entry).substr(5);
    for (;;) {
        const std::size_t end = folders.find(':');
        std::string program(folders.substr(0, end));
        if (program.empty()) program = '.';
        programs_.push_back(std::move(program.append("/").append(name)));
        if (end == std::string_view::npos) return;
        folders.remove_prefix(end + 1);
    }
}

void launch_plan::fail(int error, const std::string& what) const {
    throw std::system_error(error, std::system_category(), what);
}

unique_fd launch_plan::open_file(const std::string& path, int flags) const {
    for (;;) {
        unique_fd file(::open(path.c_str(), flags | O_CLOEXEC | O_NOCTTY, 0666));
        if (file) return file;
        if (errno != EINTR) fail(errno, "cannot open " + quoted(path) + " for a subprocess");
    }
}

launch_plan::ends launch_plan::open_pipe(bool to_child) const {
    std::array<int, 2> made{};
    if (::pipe2(made.data(), O_CLOEXEC) != 0)
        fail(errno, "a pipe for " + quoted(options_.argv.front()));
    unique_fd reading(made[0]);
    unique_fd writing(made[1]);
    ends both;
    both.child = std::move(to_child ? reading : writing);
    both.parent = std::move(to_child ? writing : reading);
    return both;
}

launch_plan::ends launch_plan::open_stream(const stdio& stream, int number) const {
    const bool to_child = number == STDIN_FILENO;
    ends opened;
    switch (stream.what()) {
        case stdio::kind::unsaid:
        case stdio::kind::inherited:
        case stdio::kind::merged: return opened;
        case stdio::kind::null: opened.child = open_file("/dev/null", O_RDWR); break;
        case stdio::kind::pipe: opened = open_pipe(to_child); break;
        case stdio::kind::file:
            opened.child =
                open_file(stream.path(), to_child ? O_RDONLY : O_WRONLY | O_CREAT | O_TRUNC);
            break;
        case stdio::kind::append:
            opened.child = open_file(stream.path(), O_WRONLY | O_CREAT | O_APPEND);
            break;
        case stdio::kind::descriptor:
            opened.child.reset(::fcntl(stream.fd(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
            break;
    }
    if (opened.child) opened.child = above_standard(std::move(opened.child));
    if (opened.parent) opened.parent = above_standard(std::move(opened.parent));
    const bool short_of_one =
        !opened.child || (stream.what() == stdio::kind::pipe && !opened.parent);
    if (short_of_one) {
        const std::string name = stream_names[static_cast<std::size_t>(number)];
        fail(errno, "the " + name + " of " + quoted(options_.argv.front()));
    }
    // The parent's end is an open file of its own: the child's stays blocking, as programs expect.
    if (opened.parent) ::fcntl(opened.parent.get(), F_SETFL, O_NONBLOCK);
    return opened;
}

launched_child launch_plan::launch() {
    ends input = open_stream(options_.input, STDIN_FILENO);
    ends output = open_stream(options_.output, STDOUT_FILENO);
    ends errors = open_stream(options_.errors, STDERR_FILENO);
    orders_.streams = {input.child.get(), output.child.get(), errors.child.get()};
    const std::optional<cpu_set_t> cores = cores_beyond_own();
    orders_.cores = cores ? &*cores : nullptr;
    orders_.errors_merged = options_.errors.what() == stdio::kind::merged;
    launched_child started;
    int pidfd = -1;
    {
        const signals_blocked quiet;  // no handler may run in the child, in our memory
        started.pid = make_child(orders_, pidfd);
    }
    if (started.pid < 0) fail(-started.pid, "cannot start " + quoted(options_.argv.front()));
    started.pidfd.reset(pidfd);
    if (orders_.failed != child_orders::step::none) fail_as_child();  // `started` reaps it
    started.input = std::move(input.parent);
    started.output = std::move(output.parent);
    started.errors = std::move(errors.parent);
    return started;
}

void launch_plan::fail_as_child() const {
    using step = child_orders::step;
    const std::string& program = options_.argv.front();
    const int error = orders_.error;
    switch (orders_.failed) {
        case step::folder: {
            const bool missing = error == ENOENT || error == ENOTDIR;
            fail(error, (missing ? "no such working directory: "
                                 : "cannot enter the working directory: ") +
                            options_.working_directory);
        }
        case step::group: fail(error, "a process group for " + quoted(program));
        case step::death_signal: fail(error, "a parent's death signal for " + quoted(program));
        case step::stream: fail(error, "the standard streams of " + quoted(program));
        case step::none:
        case step::program: break;
    }
    if (error == EACCES) fail(error, "the program may not be run: " + program);
    if (error != ENOENT && error != ENOTDIR) fail(error, "cannot run " + quoted(program));
    if (some_program_exists()) fail(error, "the interpreter is missing of the program: " + program);
    fail(error, "no such program: " + program);
}

bool launch_plan::some_program_exists() const {
    return std::any_of(programs_.begin(), programs_.end(), [this](const std::string& path) {
        const bool elsewhere = !path.starts_with('/') && !options_.working_directory.empty();
        const std::string from_here = elsewhere ? options_.working_directory + '/' + path : path;
        return ::access(from_here.c_str(), F_OK) == 0;
    });
}

launched_child::~launched_child() {
    if (!pidfd) return;
    ::syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0);
    (void)reap(pidfd.get(), false, true);
}

}  // namespace lariat::detail
