#include "process/family.hpp"

#include <lariat/base/error.hpp>
#include <lariat/process/arena.hpp>

#include "offload/uninterrupted.hpp"
#include "process/process_state.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <exception>
#include <memory>
#include <stdexcept>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace lariat::detail {

constinit std::atomic<family*> family::the_one{nullptr};

std::exception_ptr& family::why_there_is_none() noexcept {
    static std::exception_ptr why;
    return why;
}

namespace {

[[noreturn]] void fail(int error, const std::string& what) {
    throw std::system_error(error, std::system_category(), what);
}

std::string why_refused(start_step step) {
    switch (step) {
        case start_step::request: return "the fork server could not take the request";
        case start_step::slot:
            return "a family has " + std::to_string(max_processes) + " processes at most at a time";
        case start_step::channel: return "its channel to the fork server";
        case start_step::fork: return "the system refuses another process";
        case start_step::watch: return "no descriptor is left for its pidfd";
        case start_step::send: return "sending its arguments";
        case start_step::server:
            return "the fork server is gone (it was killed); no process can be started any more";
        case start_step::done: break;
    }
    return {};
}

/// The references by name, and the bytes.
std::vector<std::byte> body_of(const parcel& given) {
    std::vector<std::byte> body(given.references.size() * sizeof(std::uint64_t));
    for (std::size_t i = 0; i < given.references.size(); ++i) {
        const std::uint64_t id = given.references[i].id();
        std::memcpy(body.data() + i * sizeof id, &id, sizeof id);
    }
    body.insert(body.end(), given.bytes.begin(), given.bytes.end());
    return body;
}

void give_away(start_request& request) noexcept {
    for (transit_ref& each : request.call.arguments.references) (void)each.release();
    request.call = packed_call();
}

/// What is too long for a message.
unique_fd in_memory_file(bytes_view body) {
    unique_fd file(::memfd_create("lariat-arguments", MFD_CLOEXEC));
    if (!file) fail(errno, "a memory file for a process's arguments");
    while (!body.empty()) {
        const ssize_t done =
            uninterrupted([&] { return ::write(file.get(), body.data(), body.size()); });
        if (done < 0) fail(errno, "writing a process's arguments");
        body = body.subspan(static_cast<std::size_t>(done));
    }
    return file;
}

}  // namespace

family* family::current() noexcept {
    family* const known = the_one.load(std::memory_order_acquire);
    return known != nullptr && known->at_home() ? known : nullptr;
}

family& family::required(const char* verb) {
    if (family* const known = current()) return *known;
    if (the_one.load(std::memory_order_acquire) != nullptr)
        throw std::logic_error(
            std::string(verb) +
            ": this process was forked by hand and does not belong to its parent's family.\n"
            "  wrong: fork(), then lariat::process::start(fn) in the child\n"
            "  right: make the child with lariat::process::start(fn) too");
    rethrow_refusal();
    throw std::logic_error(std::string(verb) +
                           ": no fork server runs here.\n"
                           "  right: lariat::start_fork_server() first in main(), or "
                           "lariat::run(), whose loop starts it");
}

void family::rethrow_refusal() {
    if (why_there_is_none()) std::rethrow_exception(why_there_is_none());
}

void family::enter(unique_fd channel, identity who) {
    if (the_one.load(std::memory_order_relaxed) == nullptr) {
        std::unique_ptr<family> made(new family);
        made->modules_ = loaded_modules();
        the_one.store(made.release(), std::memory_order_release);
    }
    family& self = *the_one.load(std::memory_order_relaxed);
    self.home_ = fork_guard();
    self.who_ = std::move(who);
    self.channel_ = std::move(channel);
    self.server_ = -1;
}

std::string family::next_name() {
    return "process-" + std::to_string(named_.fetch_add(1, std::memory_order_relaxed) + 1);
}

void family::check(const start_request& request, const std::string& name) const {
    if (who_.daemon)
        throw std::logic_error("process::start: " + who_.name +
                               " is a daemon, which may have no processes of its own: it can be "
                               "ended at any moment, and they would be left");
    for (const std::uintptr_t address :
         {reinterpret_cast<std::uintptr_t>(request.call.entry), request.function}) {
        if (address == 0 || module_of(modules_, address) != nullptr) continue;
        const std::string file = module_file(address);
        throw std::invalid_argument(
            "process::start: the function of " + name + " lies in " +
            (file.empty() ? "code" : file + ", a library") +
            " loaded after the fork server started, so the new process would not have it; load it "
            "before lariat::start_fork_server()");
    }
    if (request.call.arguments.descriptors.size() > most_descriptors)
        throw limit_error("a process's arguments have " +
                          std::to_string(request.call.arguments.descriptors.size()) +
                          " descriptors; " + std::to_string(most_descriptors) +
                          " can be handed over");
}

started_process family::start(start_request& request) {
    started_process made;
    made.name = request.options.name.empty() ? next_name() : request.options.name;
    check(request, made.name);
    const std::string who = "starting " + made.name;

    const parcel& given = request.call.arguments;
    const std::vector<std::byte> body = body_of(given);
    unique_fd told;
    if (const int error = make_channel(made.status, told)) fail(error, who + ": its status socket");
    std::vector<int> descriptors{told.get()};
    unique_fd file;
    if (body.size() > most_inline_bytes) {
        file = in_memory_file(body);
        descriptors.push_back(file.get());
    }
    for (const unique_fd& each : given.descriptors) descriptors.push_back(each.get());

    start_message head;
    head.name_bytes = static_cast<std::uint32_t>(std::min(made.name.size(), most_name_bytes));
    head.entry = request.call.entry;
    head.body_bytes = body.size();
    head.references = static_cast<std::uint32_t>(given.references.size());
    head.descriptors = static_cast<std::uint32_t>(given.descriptors.size());
    head.core = request.options.core ? static_cast<std::int64_t>(*request.options.core) : -1;
    head.daemon = request.options.daemon;
    head.anew = request.anew;
    head.body_in_memory_file = static_cast<bool>(file);
    const bytes_view name = std::as_bytes(std::span(made.name).first(head.name_bytes));
    const start_reply reply =
        exchange({bytes_of(head), name, file ? bytes_view() : body}, descriptors, made.pidfd);
    if (reply.pid != 0) give_away(request);
    if (reply.error != 0) fail(reply.error, who + ": " + why_refused(reply.step));
    made.pid = reply.pid;
    return made;
}

start_reply family::exchange(std::initializer_list<bytes_view> message,
                             std::span<const int> descriptors, unique_fd& pidfd) {
    start_reply reply;
    std::vector<unique_fd> arrived;
    arrived.reserve(most_received);  // once the request is sent, the answer must be taken
    const std::lock_guard held(channel_mutex_);
    reply.error = channel_ ? send_message(channel_.get(), message, descriptors, true) : EPIPE;
    if (reply.error != 0) {
        reply.step = start_step::send;
        if (reply.error == EPIPE || reply.error == ECONNRESET) server_has_gone(reply);
        return reply;
    }
    const received got = receive_message(
        channel_.get(), std::as_writable_bytes(std::span<start_reply, 1>(&reply, 1)), arrived,
        true);
    if (got.bytes != sizeof reply) {
        reply.pid = -1;  // nobody knows whether there is a process, which has what was given then
        server_has_gone(reply);
    } else if (reply.error == 0 && arrived.empty()) {
        kill_message unwanted;
        unwanted.pid = reply.pid;
        (void)send_message(channel_.get(), {bytes_of(unwanted)}, {}, true);
        reply.error = EMFILE;
        reply.step = start_step::watch;
    } else if (!arrived.empty()) {
        pidfd = std::move(arrived.front());
    }
    return reply;
}

void family::server_has_gone(start_reply& reply) noexcept {
    forget_server();
    reply.error = EPIPE;
    reply.step = start_step::server;
}

// It is our child, which only we reap. Its end of the channel closes a moment before it is one to
// be waited for.
void family::forget_server() noexcept {
    constexpr int moment = 1000;  // ms
    channel_.reset();
    if (server_ < 0) return;
    const unique_fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, server_, 0)));
    pollfd ended{pidfd.get(), POLLIN, 0};
    if (pidfd) (void)uninterrupted([&] { return ::poll(&ended, 1, moment); });
    (void)uninterrupted([this] { return ::waitpid(server_, nullptr, __WALL | WNOHANG); });
    server_ = -1;
}

void family::tell_failure(std::span<const std::byte> record) noexcept {
    failure_message head;
    head.record_bytes = static_cast<std::uint32_t>(record.size());
    const std::lock_guard held(channel_mutex_);
    if (channel_) (void)send_message(channel_.get(), {bytes_of(head), record}, {}, true);
}

void family::leave() noexcept {
    if (!at_home() || who_.child) return;
    const std::lock_guard held(channel_mutex_);
    if (!channel_) return;
    leave_reply reply;
    reply.last = 1;  // also if it is gone already
    if (send_message(channel_.get(), {bytes_of(leave_message())}, {}, true) == 0)
        (void)uninterrupted([&] { return ::recv(channel_.get(), &reply, sizeof reply, 0); });
    if (reply.last != 0) return forget_server();
    channel_.reset();
    server_ = -1;
}

void family::add_child(process_state& child) {
    const std::lock_guard held(children_mutex_);
    children_.push_back(&child);
}

void family::remove_child(process_state& child) noexcept {
    const std::lock_guard held(children_mutex_);
    std::erase(children_, &child);
}

}  // namespace lariat::detail
