#pragma once

#include <lariat/base/unique_fd.hpp>

#include <chrono>
#include <string>

namespace lariat::test {

/// A main function of its own: this test program started anew, without a family yet.
///
///     const role leaves("leaves", [] { start_fork_server(); return 0; });
class role {
 public:
    using main_function = int (*)();
    role(const char* name, main_function body);
    /// Pre: there is one of this name.
    [[nodiscard]] static int play(const std::string& name);
};

/// This test program, run in a role. Its output and errors come through a pipe; its input ends
/// with `let_go`.
class program {
 public:
    explicit program(const char* role_name) : program(role_name, own_file()) {}
    /// The same from a copy of its file.
    program(const char* role_name, std::string file);
    program(const program&) = delete;
    program& operator=(const program&) = delete;
    ~program();

    [[nodiscard]] int pid() const noexcept { return pid_; }
    /// The next line that it says, without its end; empty at the end of all.
    [[nodiscard]] std::string line();
    /// What it, and all that inherited its output, have still to say.
    [[nodiscard]] std::string rest();
    /// What it waits for in wait_for_tester().
    void let_go() noexcept { input_.reset(); }
    void kill(int number) const noexcept;
    /// Its exit code, or -N for signal N. Blocks.
    [[nodiscard]] int wait();
    /// Both.
    [[nodiscard]] int end() {
        let_go();
        return wait();
    }

    [[nodiscard]] static std::string own_file();

 private:
    /// Of each of its processes, where the kernel refuses io_uring: the place's word, not its own.
    void drop_notices();

    int pid_ = -1;
    unique_fd input_;
    unique_fd output_;
    std::string read_;
};

/// In a role: until the tester lets it go, or has gone.
void wait_for_tester() noexcept;
/// In a role, and in its children: a line for program::line.
void say(const std::string& line) noexcept;

/// Whether there is such a process, a zombie too; a zombie; or whether it goes, by itself within a
/// second, as a dead process's own are to, or else in the end.
[[nodiscard]] bool is_there(int pid) noexcept;
[[nodiscard]] bool is_zombie(int pid);
[[nodiscard]] bool goes(int pid, std::chrono::seconds within = std::chrono::seconds(1));
[[nodiscard]] inline bool goes_at_last(int pid) { return goes(pid, std::chrono::seconds(20)); }
/// The pids of a process's children, zombies among them.
[[nodiscard]] std::string children_of(int pid);
/// The pid of the fork server of a process, which is the parent of what that starts.
[[nodiscard]] int parent_of(int pid);

}  // namespace lariat::test
