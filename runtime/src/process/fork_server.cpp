#include "process/fork_server.hpp"

#include <lariat/process/arena.hpp>
#include <lariat/process/transaction.hpp>

#include "offload/uninterrupted.hpp"
#include "process/channel.hpp"
#include "process/fresh_process.hpp"
#include "process/members.hpp"
#include "process/new_process.hpp"
#include "process/protocol.hpp"
#include "process/slots.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <new>
#include <span>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace lariat::detail {

namespace {

/// Serves one channel's message after another; never waits for anybody but in poll, and allocates
/// little: a failure in here is an answer, not an end.
class fork_server {
 public:
    explicit fork_server(server_orders& orders) noexcept : orders_(orders) {}
    [[noreturn]] void serve() noexcept;

 private:
    void prepare();
    void wait_for_news();
    void hear(member& from);
    void obey(member& from, std::size_t bytes, bool descriptors_lost);
    void start(member& asker, std::size_t bytes);
    [[nodiscard]] bool take_apart(const start_message& asked, std::span<const std::byte> rest,
                                  birth& as, unique_fd& status);
    start_reply make(member& asker, const start_message& asked, std::size_t bytes,
                     unique_fd& pidfd);
    void keep_failure(member& from, std::size_t bytes) noexcept;
    void kill_unwanted(const member& asker, std::size_t bytes) noexcept;
    void reap_all();
    void bury(pid_t pid) noexcept;
    static void tell_end(const member& dead, end_record end) noexcept;
    void has_left(member& from) noexcept;
    void root_has_died() noexcept;
    void end_if_nobody_is_left() noexcept;
    void answer_root(bool last) noexcept;

    server_orders& orders_;
    members members_;
    unique_fd deaths_;  ///< a signalfd for SIGCHLD
    unique_fd root_end_;
    bool root_leaves_ = false;
    alignas(std::uint64_t) std::array<std::byte, message_bytes> room_;
    std::vector<unique_fd> arrived_;
    std::array<pollfd, max_processes + 2> asked_;
};

template <class T>
bool read_record(std::span<const std::byte> from, T& into) noexcept {
    if (from.size() < sizeof into) return false;
    std::memcpy(&into, from.data(), sizeof into);
    return true;
}

void fork_server::prepare() {
    sigset_t chld;
    ::sigemptyset(&chld);
    ::sigaddset(&chld, SIGCHLD);
    deaths_.reset(::signalfd(-1, &chld, SFD_NONBLOCK | SFD_CLOEXEC));
    root_end_.reset(static_cast<int>(::syscall(SYS_pidfd_open, orders_.root, 0)));
    member& root = members_.root();
    root.pid = orders_.root;
    root.channel = std::move(orders_.channel);
    root.owner = this_owner.load(std::memory_order_relaxed);
    const owner_id own = open_slot(slot_for::fork_server);
    enter_slot(own);
    set_pid(own, ::getpid());
    // It had gone before it could be watched, or cannot be: its channel's end tells then.
    if (::getppid() != orders_.root) root_has_died();
}

[[noreturn]] void fork_server::serve() noexcept {
    try {
        prepare();
        for (;;) {
            end_if_nobody_is_left();
            wait_for_news();
        }
    } catch (...) {
        ::_exit(1);  // everybody hears it: their channels end
    }
}

void fork_server::wait_for_news() {
    std::size_t count = 0;
    asked_[count++] = pollfd{deaths_.get(), POLLIN, 0};
    asked_[count++] = pollfd{root_end_.get(), POLLIN, 0};
    const std::size_t first = count;
    members_.each([&](member& each) {
        if (each.channel) asked_[count++] = pollfd{each.channel.get(), POLLIN, 0};
    });
    const int ready = ::poll(asked_.data(), count, members_.kill_timeout());
    members_.kill_overdue();
    if (ready <= 0) return;
    // Messages before deaths: what a process said last belongs to its end.
    for (std::size_t i = first; i < count; ++i) {
        if (asked_[i].revents == 0) continue;
        if (member* const from = members_.by_channel(asked_[i].fd)) hear(*from);
    }
    if (asked_[0].revents != 0) reap_all();
    if (asked_[1].revents != 0) root_has_died();
}

void fork_server::hear(member& from) {
    while (from.channel) {
        received got;
        try {
            got = receive_message(from.channel.get(), room_, arrived_, false);
        } catch (const std::bad_alloc&) {
            return;  // it is still there: the next poll finds it
        }
        if (got.bytes == -EAGAIN || got.bytes == -EINTR) return;
        if (got.bytes <= 0 && got.bytes != -EMSGSIZE) return has_left(from);
        if (got.bytes > 0) obey(from, static_cast<std::size_t>(got.bytes), got.descriptors_lost);
        arrived_.clear();
    }
}

void fork_server::obey(member& from, std::size_t bytes, bool descriptors_lost) {
    message what{};
    if (!read_record(std::span(room_).first(bytes), what)) return;
    switch (what) {
        case message::start:
            if (descriptors_lost) {
                start_reply refused;
                refused.error = EMFILE;
                refused.step = start_step::request;
                if (send_message(from.channel.get(), {bytes_of(refused)}, {}, false) != 0)
                    from.channel.reset();
                return;
            }
            return start(from, bytes);
        case message::failure: return keep_failure(from, bytes);
        case message::kill: return kill_unwanted(from, bytes);
        case message::leave: root_leaves_ = true; return members_.end_daemons_of(from.pid);
    }
}

void fork_server::start(member& asker, std::size_t bytes) {
    start_message asked;
    start_reply reply;
    unique_fd pidfd;
    if (!read_record(std::span(room_).first(bytes), asked)) {
        reply.error = EBADMSG;
        reply.step = start_step::request;
    } else {
        try {
            reply = make(asker, asked, bytes, pidfd);
        } catch (const std::bad_alloc&) {
            reply.error = ENOMEM;
            reply.step = start_step::request;
        }
    }
    const int fd = pidfd.get();
    const std::span<const int> with(&fd, pidfd ? 1U : 0U);
    // Whoever asks waits for the answer, so there is room for it; who does not wait is not served.
    if (send_message(asker.channel.get(), {bytes_of(reply)}, with, false) != 0)
        asker.channel.reset();
}

/// The references at the beginning of a body.
bool read_references(const unique_fd& file, std::span<const std::byte> body,
                     std::vector<std::uint64_t>& into) {
    const std::span<std::byte> room = std::as_writable_bytes(std::span(into));
    if (room.empty()) return true;
    if (file) return ::pread(file.get(), room.data(), room.size(), 0) == std::ssize(room);
    if (body.size() < room.size()) return false;
    std::memcpy(room.data(), body.data(), room.size());
    return true;
}

bool fork_server::take_apart(const start_message& asked, std::span<const std::byte> rest, birth& as,
                             unique_fd& status) {
    const std::size_t inline_bytes = asked.body_in_memory_file ? 0 : asked.body_bytes;
    const std::size_t before = asked.body_in_memory_file ? 2 : 1;
    const std::size_t reference_bytes = asked.references * sizeof(std::uint64_t);
    if (asked.name_bytes > rest.size() || rest.size() - asked.name_bytes != inline_bytes ||
        reference_bytes > asked.body_bytes || arrived_.size() != before + asked.descriptors)
        return false;
    const auto name = rest.first(asked.name_bytes);
    const auto body = rest.subspan(asked.name_bytes);
    as.entry = asked.entry;
    as.who.name.assign(reinterpret_cast<const char*>(name.data()), name.size());
    as.who.child = true;
    as.who.daemon = asked.daemon;
    as.core = asked.core;
    status = std::move(arrived_[0]);
    if (asked.body_in_memory_file) as.body = std::move(arrived_[1]);
    as.references.resize(asked.references);
    if (!read_references(as.body, body, as.references)) return false;
    if (!as.body) as.given.bytes.assign(body.begin() + std::ptrdiff_t(reference_bytes), body.end());
    for (std::size_t i = before; i < arrived_.size(); ++i)
        as.given.descriptors.push_back(std::move(arrived_[i]));
    return true;
}

start_reply fork_server::make(member& asker, const start_message& asked, std::size_t bytes,
                              unique_fd& pidfd) {
    const auto refused = [](start_step step, int error) {
        start_reply reply;
        reply.error = error;
        reply.step = step;
        return reply;
    };
    birth as;
    unique_fd status;
    if (!take_apart(asked, std::span(room_).first(bytes).subspan(sizeof asked), as, status))
        return refused(start_step::request, EBADMSG);
    unique_fd channel;
    if (const int error = make_channel(channel, as.channel))
        return refused(start_step::channel, error);
    unique_fd room_for_pidfd(::fcntl(deaths_.get(), F_DUPFD_CLOEXEC, 0));
    if (!room_for_pidfd) return refused(start_step::watch, errno);
    member* const made = members_.free_place();
    if (made != nullptr) made->name = as.who.name;
    as.owner = made == nullptr ? nobody : open_slot();  // nothing throws from here on
    if (as.owner == nobody) return refused(start_step::slot, EAGAIN);
    as.who.parent = asker.pid;
    as.server = ::getpid();
    as.limit = &orders_.descriptors;
    for (const std::uint64_t id : as.references) entrust(id, as.owner);
    const pid_t pid = ::fork();
    if (pid == 0 && asked.anew) execute_anew(as);
    if (pid == 0) live(as);
    if (pid < 0) {
        const int error = errno;
        for (const std::uint64_t id : as.references) entrust(id, asker.owner);
        sweep_process(as.owner);
        return refused(start_step::fork, error);
    }
    set_pid(as.owner, pid);
    made->pid = pid;
    made->parent = asker.pid;
    made->owner = as.owner;
    made->daemon = asked.daemon;
    made->channel = std::move(channel);
    made->status = std::move(status);
    members_.added();
    room_for_pidfd.reset();
    pidfd.reset(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    start_reply reply;
    reply.pid = pid;
    if (!pidfd) {
        reply.error = errno;
        reply.step = start_step::watch;
        (void)::kill(pid, SIGKILL);
    }
    return reply;
}

void fork_server::keep_failure(member& from, std::size_t bytes) noexcept {
    failure_message head;
    if (!read_record(std::span(room_).first(bytes), head)) return;
    const std::size_t size = std::min<std::size_t>(head.record_bytes, bytes - sizeof head);
    const std::byte* const record = room_.data() + sizeof head;
    try {
        from.failure.assign(record, record + size);
    } catch (const std::bad_alloc&) {  // its exit code has to do
    }
}

void fork_server::kill_unwanted(const member& asker, std::size_t bytes) noexcept {
    kill_message head;
    if (!read_record(std::span(room_).first(bytes), head)) return;
    member* const unwanted = members_.by_pid(head.pid);
    if (unwanted != nullptr && unwanted->parent == asker.pid) (void)::kill(head.pid, SIGKILL);
}

void fork_server::reap_all() {
    signalfd_siginfo dropped;
    while (::read(deaths_.get(), &dropped, sizeof dropped) > 0) {
    }
    for (;;) {
        siginfo_t dead{};
        if (::waitid(P_ALL, 0, &dead, WEXITED | WNOHANG | WNOWAIT) != 0 || dead.si_pid == 0) return;
        bury(dead.si_pid);
    }
}

// While it is a zombie its number is nobody else's: only then may shared memory forget it. Who
// waits for it is told last, and finds everything in order.
void fork_server::bury(pid_t pid) noexcept {
    member* const dead = members_.by_pid(pid);
    if (dead != nullptr) {
        try {
            hear(*dead);
        } catch (...) {  // the system refuses to say what it said last
        }
        members_.end_daemons_of(pid);
        sweep_process(dead->owner);
    }
    siginfo_t about{};
    (void)uninterrupted([&] { return ::waitid(P_PID, static_cast<id_t>(pid), &about, WEXITED); });
    if (dead == nullptr) return;
    end_record end;
    end.code = about.si_code == CLD_EXITED ? about.si_status : -about.si_status;
    end.record_bytes = static_cast<std::uint32_t>(dead->failure.size());
    tell_end(*dead, end);
    members_.remove(*dead);
}

void fork_server::tell_end(const member& dead, end_record end) noexcept {
    const bytes_view failure(dead.failure);
    int error = send_message(dead.status.get(), {bytes_of(end), failure}, {}, false);
    if (error == EPIPE) return dead.say_failure();  // detached, or its parent has gone
    if (error == 0 || failure.empty()) return;
    end.record_bytes = 0;  // no memory for so much
    (void)send_message(dead.status.get(), {bytes_of(end)}, {}, false);
}

/// It asks for nothing any more: it has ended, or become another program.
void fork_server::has_left(member& from) noexcept {
    from.channel.reset();
    members_.end_daemons_of(from.pid);
}

void fork_server::root_has_died() noexcept {
    has_left(members_.root());
    root_end_.reset();
    sweep_process(members_.root().owner);
}

void fork_server::answer_root(bool last) noexcept {
    leave_reply reply;
    reply.last = last ? 1 : 0;
    root_leaves_ = false;
    (void)send_message(members_.root().channel.get(), {bytes_of(reply)}, {}, false);
}

// The first process, when it leaves, waits for its daemons' ends, but not for others.
void fork_server::end_if_nobody_is_left() noexcept {
    if (root_leaves_ && members_.count() != 0 && !members_.all_are_ending()) answer_root(false);
    if (members_.count() != 0 || (!root_leaves_ && members_.root().channel)) return;
    if (root_leaves_) answer_root(true);
    ::_exit(0);
}

}  // namespace

[[noreturn]] void serve_family(server_orders orders) noexcept {
    auto* const server = new (std::nothrow) fork_server(orders);
    if (server == nullptr) ::_exit(1);
    server->serve();
}

}  // namespace lariat::detail
