#pragma once

#include <lariat/base/config.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace lariat {

/// What one of a child's three standard streams is. A value.
///
///     options.output = lariat::stdio::append("build.log");
///     options.errors = lariat::stdio::merged();
class LARIAT_EXPORT stdio {
 public:
    enum class kind : std::uint8_t {
        unsaid,
        inherited,
        null,
        pipe,
        file,
        append,
        descriptor,
        merged
    };

    /// Left unsaid: subprocess::start inherits it, run_program captures it.
    stdio() noexcept {}
    /// The parent's own.
    [[nodiscard]] static stdio inherited() { return stdio(kind::inherited); }
    /// /dev/null: nothing to read, and nothing is kept.
    [[nodiscard]] static stdio null() { return stdio(kind::null); }
    /// A pipe whose other end is the subprocess's input(), output() or errors().
    [[nodiscard]] static stdio pipe() { return stdio(kind::pipe); }
    /// A file to read; for output one that is made if need be, and emptied. A relative path is
    /// taken from the parent's working directory.
    [[nodiscard]] static stdio file(std::string path) { return stdio(kind::file, std::move(path)); }
    /// A file to write to behind what is there; made if need be.
    [[nodiscard]] static stdio append(std::string path) {
        return stdio(kind::append, std::move(path));
    }
    /// An open descriptor of the parent's. Borrowed until the program was started.
    [[nodiscard]] static stdio descriptor(int fd) { return stdio(kind::descriptor, "", fd); }
    /// For errors only: what output is.
    [[nodiscard]] static stdio merged() { return stdio(kind::merged); }

    [[nodiscard]] kind what() const noexcept { return what_; }
    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    [[nodiscard]] int fd() const noexcept { return fd_; }

 private:
    explicit stdio(kind what, std::string path = "", int fd = -1)
        : path_(std::move(path)), fd_(fd), what_(what) {}

    std::string path_;
    int fd_ = -1;
    kind what_ = kind::unsaid;
};

/// How a program is started. It runs on the cores that this process's main thread may use, also
/// where a pinned loop starts it.
///
///     lariat::subprocess_options sort("sort", "-n", "numbers.txt");
///     sort.environment["LC_ALL"] = "C";
///     sort.output = lariat::stdio::pipe();
struct subprocess_options {
    subprocess_options() {
    }  // user-declared: an aggregate in an awaiting expression is miscompiled by GCC 12
    /// The program and its arguments.
    explicit subprocess_options(std::vector<std::string> words) : argv(std::move(words)) {}
    template <std::convertible_to<std::string>... Word>
    explicit subprocess_options(std::string program, Word&&... words)
        : argv{std::move(program), std::string(std::forward<Word>(words))...} {}
    /// A line for /bin/sh. Never put words of somebody else's into it: they are obeyed.
    [[nodiscard]] static subprocess_options shell(std::string line) {
        return subprocess_options("/bin/sh", "-c", std::move(line));
    }

    /// The program, and what it finds in its argv. A name without a slash is looked for in the PATH
    /// of the child's environment, as execvp(3) does it; a relative path is taken from the child's
    /// working directory.
    std::vector<std::string> argv;
    /// Changes to the environment: a value sets, an empty optional takes away.
    std::map<std::string, std::optional<std::string>> environment;
    bool inherit_environment = true;  ///< false: it holds nothing but what is set above
    std::string working_directory;    ///< empty: the parent's

    stdio input;
    stdio output;
    stdio errors;

    /// A process group of its own: what the terminal sends (Ctrl-C) does not reach it.
    bool own_group = false;
    /// The same, and every signal sent through the subprocess reaches all of the group: the
    /// children of the child as well. Who is left of it when the subprocess goes is killed.
    bool whole_group = false;
    /// The kernel sends it this signal when the thread of the loop that started it ends; 0: none.
    /// It is started on that thread, which stands still until the program is loaded.
    int parent_death_signal = 0;
    /// A subprocess that goes, or is stopped, gets SIGTERM, and SIGKILL after so long; 0: at once.
    std::chrono::milliseconds grace{2000};
    /// communicate() keeps no more bytes than this of each stream: limit_error.
    std::size_t output_limit = 64 * 1024 * 1024;
};

}  // namespace lariat
