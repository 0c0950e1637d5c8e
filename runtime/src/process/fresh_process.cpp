// The program executed anew: what is said on one side of execve(2), and done on the other.

#include "process/fresh_process.hpp"

#include "offload/uninterrupted.hpp"
#include "process/arena_memory.hpp"
#include "process/modules.hpp"
#include "process/slots.hpp"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace lariat::detail {

namespace {

// The kernel puts nothing there by itself (see quiet_place), so a second attempt is rare.
constexpr int most_attempts = 8;
constexpr const char* own_file = "/proc/self/exe";

/// What was there before main(), until the family would begin.
constinit birth* waiting = nullptr;

[[noreturn]] void fail(int error, const char* what) {
    throw std::system_error(error, std::system_category(), what);
}

std::vector<std::byte> all_of(int file) {
    struct stat about{};
    std::vector<std::byte> all;
    if (::fstat(file, &about) != 0 || !S_ISREG(about.st_mode)) return all;
    all.resize(static_cast<std::size_t>(about.st_size));
    std::size_t done = 0;
    while (done < all.size()) {
        const ssize_t got = uninterrupted([&] {
            return ::pread(file, all.data() + done, all.size() - done, static_cast<off_t>(done));
        });
        if (got <= 0) return {};
        done += static_cast<std::size_t>(got);
    }
    return all;
}

/// As this process was executed; without any where there is no /proc.
std::vector<std::string> own_arguments() {
    std::vector<std::string> found;
    const unique_fd file(::open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC));
    std::string text;
    char room[4096];
    for (;;) {
        const ssize_t got = uninterrupted([&] { return ::read(file.get(), room, sizeof room); });
        if (got <= 0) break;
        text.append(room, static_cast<std::size_t>(got));
    }
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find('\0', at), text.size());
        found.push_back(text.substr(at, end - at));
        at = end + 1;
    }
    if (found.empty()) found.emplace_back("lariat");
    return found;
}

[[noreturn]] void execute(int orders, int attempt) {
    std::vector<std::string> words = own_arguments();
    std::vector<char*> arguments;
    arguments.reserve(words.size() + 1);
    for (std::string& each : words) arguments.push_back(each.data());
    arguments.push_back(nullptr);
    const std::string name = std::string(orders_variable) + '=';
    std::string own = name + std::to_string(orders) + ':' + std::to_string(attempt);
    std::vector<char*> environment;
    for (char** each = environ; each != nullptr && *each != nullptr; ++each)
        if (!std::string_view(*each).starts_with(name)) environment.push_back(*each);
    environment.push_back(own.data());
    environment.push_back(nullptr);
    ::execve(own_file, arguments.data(), environment.data());
    fail(errno, "executing the program anew (/proc/self/exe)");
}

void let_inherit(int fd, bool yes) noexcept {
    if (fd >= 0) (void)::fcntl(fd, F_SETFD, yes ? 0 : FD_CLOEXEC);
}

unique_fd written_orders(const birth& as, int channel) {
    const family* const own = family::current();
    fresh_orders head;
    head.entry = as.entry;
    head.arena = reinterpret_cast<std::uintptr_t>(the_arena());
    head.arena_bytes = arena().capacity;
    head.pid = ::getpid();
    head.parent = as.who.parent;
    head.server = as.server;
    head.core = as.core;
    head.memory = arena_descriptor();
    head.channel = channel;
    head.body = as.body.get();
    head.owner = as.owner;
    head.daemon = as.who.daemon ? 1 : 0;
    std::vector<int> given;
    given.reserve(as.given.descriptors.size());
    for (const unique_fd& each : as.given.descriptors) given.push_back(each.get());
    const parcel packed =
        pack(head, as.who.name, own->modules(), as.references, as.given.bytes, given);
    unique_fd file(::memfd_create("lariat-orders", 0));
    if (!file) fail(errno, "a memory file for a process's orders");
    bytes_view left(packed.bytes);
    while (!left.empty()) {
        const ssize_t done =
            uninterrupted([&] { return ::write(file.get(), left.data(), left.size()); });
        if (done <= 0) fail(errno, "writing a process's orders");
        left = left.subspan(static_cast<std::size_t>(done));
    }
    for (const int fd : {head.memory, head.channel, head.body}) let_inherit(fd, true);
    for (const int fd : given) let_inherit(fd, true);
    return file;
}

/// Nothing is left to be done but to say why.
[[noreturn]] void give_up(birth& as, const std::exception_ptr& why) noexcept {
    if (as.channel) family::enter(std::move(as.channel), as.who);
    tell(why);
    end_child(EXIT_FAILURE);
}

/// Something else lies in shared memory's place: the kernel lays out each execution differently.
void put_arena(const fresh_orders& head, int orders, int attempt) {
    const int error = map_arena(head.memory, head.arena, head.arena_bytes);
    if (error == EEXIST && attempt < most_attempts) execute(orders, attempt + 1);
    if (error != 0) fail(error, "shared memory cannot be mapped where the family has it");
}

void take(fresh_orders& head, parcel_reader& from, int orders, int attempt) {
    auto as = std::make_unique<birth>();
    as->channel.reset(head.channel);
    as->who.parent = head.parent;
    as->who.child = true;
    as->who.daemon = head.daemon != 0;
    try {
        as->who.name = read_value<std::string>(from);
        const auto modules = read_value<std::vector<loaded_module>>(from);
        as->references = read_value<std::vector<std::uint64_t>>(from);
        as->given.bytes = read_value<std::vector<std::byte>>(from);
        const auto given = read_value<std::vector<int>>(from);
        put_arena(head, orders, attempt);
        ::unsetenv(orders_variable);
        for (const int fd : {head.memory, head.channel, head.body}) let_inherit(fd, false);
        for (const int fd : given) {
            let_inherit(fd, false);
            as->given.descriptors.emplace_back(fd);
        }
        as->body.reset(head.body);
        as->entry = head.entry;
        as->owner = head.owner;
        as->core = head.core;
        as->server = head.server;
        tell_addresses_as_in(modules);
        if (as->entry.get() == nullptr)
            throw std::runtime_error(
                "the program, or the library of this function, executed anew is another build than "
                "the one that runs: replaced on disk since the family began, or loaded later than "
                "main()'s begin");
    } catch (...) {
        give_up(*as, std::current_exception());
    }
    waiting = as.release();
}

void say_that_main_ended() noexcept {
    if (waiting == nullptr) return;
    give_up(*waiting, std::make_exception_ptr(std::logic_error(
                          "executed anew, main() ended before it began the family: it went another "
                          "way than the first time.\n"
                          "  right: lariat::start_fork_server() first in main()")));
}

}  // namespace

void execute_anew(birth& as) noexcept {
    try {
        const int channel = as.channel.get();
        begin_life(as);
        const unique_fd orders = written_orders(as, channel);
        execute(orders.get(), 1);
    } catch (...) {
        give_up(as, std::current_exception());
    }
}

void take_fresh_orders() noexcept {
    static bool looked = false;
    if (std::exchange(looked, true)) return;
    const char* const text = std::getenv(orders_variable);
    if (text == nullptr) return;
    int fd = -1;
    int attempt = 0;
    const bool plain = std::sscanf(text, "%d:%d", &fd, &attempt) == 2;
    try {
        const std::vector<std::byte> bytes = plain ? all_of(fd) : std::vector<std::byte>();
        parcel_reader from(bytes);
        fresh_orders head;
        if (bytes.size() >= sizeof head) head = read_value<fresh_orders>(from);
        if (bytes.size() >= sizeof head && head.mark == fresh_orders::right_mark &&
            head.pid == ::getpid()) {
            if (std::atexit([] { say_that_main_ended(); }) != 0) throw std::bad_alloc();
            take(head, from, fd, attempt);
            ::close(fd);
        }
        ::unsetenv(orders_variable);
    } catch (...) {  // no memory, before main(): its end without a word says that it failed
        ::_exit(EXIT_FAILURE);
    }
}

void follow_fresh_orders() noexcept {
    if (waiting == nullptr) return;
    birth& as = *std::exchange(waiting, nullptr);
    enter_slot(as.owner);
    name_thread(as);
    unblock_signals();  // what main() has blocked, too: it is to end when it is asked
    family::enter(std::move(as.channel), as.who);
    run_and_exit(as);
}

}  // namespace lariat::detail
