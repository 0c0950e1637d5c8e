// A manager's doors, connections and end.

#include "process/manager_link.hpp"
#include "process/manager_server.hpp"
#include "process/manager_socket.hpp"
#include "process/message_state.hpp"

#include "offload/uninterrupted.hpp"

#include <lariat/base/error.hpp>
#include <lariat/loop/io.hpp>
#include <lariat/loop/loop.hpp>
#include <lariat/loop/signal_subscription.hpp>
#include <lariat/process/manager_error.hpp>
#include <lariat/process/remote_error.hpp>
#include <lariat/task/nothrow.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/timeout.hpp>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <exception>
#include <iterator>
#include <utility>

#include <sys/socket.h>
#include <unistd.h>

namespace lariat::detail {

namespace {

constexpr std::size_t most_strangers = 128;
constexpr std::size_t most_unsent = std::size_t{4} << 20;  // of answers, before more is read
constexpr std::chrono::milliseconds without_room{50};
constexpr std::chrono::milliseconds farewell{200};
constexpr std::chrono::milliseconds long_ago{100};  // who is cut waits for half a second

/// Ctrl-C reaches the whole group of processes, and is for the one that started this.
void leave_interrupts_to_the_owner() noexcept {
    struct sigaction nothing{};
    nothing.sa_handler = [](int) {};
    nothing.sa_flags = SA_RESTART;
    (void)::sigaction(SIGINT, &nothing, nullptr);
}

class counted {
 public:
    explicit counted(std::size_t& number) noexcept : number_(number) { ++number_; }
    counted(const counted&) = delete;
    counted& operator=(const counted&) = delete;
    ~counted() { --number_; }

 private:
    std::size_t& number_;
};

}  // namespace

/// Lies in the frame of a connection's task: however that ends.
class manager_server::session_guard {
 public:
    session_guard(manager_server& of, session_ref its_session) noexcept
        : server(&of), session(std::move(its_session)) {}
    session_guard(session_guard&& other) noexcept = default;
    session_guard& operator=(session_guard&&) = delete;
    ~session_guard() {
        if (session != nullptr) server->end_session(*session);
    }

    manager_server* server;
    session_ref session;
};

manager_server::manager_server(manager_seed&& seed)
    : seed_(std::move(seed)), self_(std::make_shared<manager_member>()) {}

task<> manager_server::serve() {
    // Proxies among the arguments of operations, too, name what is here.
    const auto self_link = std::make_shared<manager_link>(seed_.identity, *this);
    self_link->enter();
    spawn(watch_signal(*this));
    spawn(watch_door(*this, std::move(seed_.door), std::make_shared<manager_member>(), true));
    join_handle<> accepting;
    if (seed_.listener) accepting = spawn(accept_all(*this, std::move(seed_.listener)));
    auto stopping = stop_.wait();
    co_await std::move(stopping);
    // While the socket is open its file's number is nobody else's.
    (void)remove_socket_file(seed_.path, seed_.file);
    if (accepting) accepting.cancel();
    for (server_session* const each : sessions_) {
        parcel bye;
        manager_answer head;
        head.kind = manager_answer::verb::bye;
        parcel_writer(bye).append(&head, sizeof head);
        (void)each->stream.push(std::move(bye));
    }
    const std::set<server_session*> last = sessions_;
    for (server_session* const each : last) {
        if (!sessions_.contains(each)) continue;
        auto said = nothrow(timeout(farewell, each->stream.room()));
        (void)co_await std::move(said);
    }
}

task<> manager_server::watch_signal(manager_server& self) {
    signal_subscription asked(std::uint64_t{1} << (SIGTERM - 1));
    signal_wait coming(asked);
    (void)co_await std::move(coming);
    self.stop_.set();
}

// Doors

task<> manager_server::watch_door(manager_server& self, unique_fd door,
                                  std::shared_ptr<manager_member> member, bool owners) {
    struct end_of_member {
        manager_member& of;
        ~end_of_member() { of.end(); }
    } const at_end{*member};
    for (;;) {
        door_message message;
        parcel with;
        const int got = receive_through_door(door.get(), message, with);
        if (got == -EAGAIN) {
            readiness_awaiter more = wait_readable(door.get());
            co_await std::move(more);
        } else if (got != 1) {
            break;
        } else if (message.what == door_message::verb::stop) {
            if (owners) self.stop_.set();
        } else {
            try {
                self.take(member, message, std::move(with));
            } catch (const std::exception& error) {
                self.report(error.what());
            }
        }
    }
    if (owners) self.stop_.set();  // it would not outlive its owner anyway
}

void manager_server::take(const std::shared_ptr<manager_member>& member,
                          const door_message& message, parcel&& with) {
    const object_hold object = find(message.object);
    switch (message.what) {
        case door_message::verb::connect: {
            parcel_reader from(with);
            open(member, message_stream::unpack_from(from), false);
            break;
        }
        case door_message::verb::lend: {
            if (with.descriptors.empty()) break;
            auto holder = std::make_shared<manager_member>();
            if (object != nullptr) holder->hold(object);
            spawn(watch_door(*this, std::move(with.descriptors.front()), std::move(holder), false));
            break;
        }
        case door_message::verb::adopt:
            if (object != nullptr) member->hold(object);
            break;
        case door_message::verb::drop: member->drop(message.object); break;
        case door_message::verb::stop: break;
    }
}

void manager_server::take_own(const door_message& message, parcel&& with) {
    take(self_, message, std::move(with));
}

// Connections

void manager_server::open(const std::shared_ptr<manager_member>& member, message_stream stream,
                          bool remote) {
    const auto session =
        std::make_shared<server_session>(++next_session_, member, std::move(stream));
    session->remote = remote;
    if (remote) {
        session->stream.state()->in.take_only_bytes();
        session->most = seed_.max_message;
    }
    sessions_.insert(session.get());
    spawn(serve_session(session_guard(*this, session)));
}

task<> manager_server::serve_session(session_guard guard) {
    manager_server& self = *guard.server;
    const session_ref session = guard.session;
    std::string why;
    while (why.empty()) {
        auto incoming = session->stream.receive(session->most);
        auto message = co_await nothrow(std::move(incoming));
        if (!message) why = message.error().message();
        if (!message || !*message) break;
        stand_in_line(*session, std::move(**message));
        time_point looked = loop::current().now();
        while (!session->line.empty()) {
            // Each time anew: what stands in the line waits while the first is obeyed.
            if (why.empty()) why = line_up(*session, looked);
            parcel first = std::move(session->line.front());
            session->line.pop_front();
            const bool sound = self.obey(session, std::move(first));
            if (!sound) why = "what came is no request";
            if (!sound) break;
            auto room = nothrow(session->stream.room(most_unsent));
            (void)co_await std::move(room);
        }
    }
    if (!why.empty()) self.report("a connection is closed: " + why);
}

void manager_server::stand_in_line(server_session& session, parcel&& message) {
    manager_request head;
    if (message.bytes.size() >= sizeof head) std::memcpy(&head, message.bytes.data(), sizeof head);
    if (head.what == manager_request::verb::cancel) session.withdrawn.insert(head.id);
    session.line.push_back(std::move(message));
}

std::string manager_server::line_up(server_session& session, time_point& looked) {
    message_state& state = *session.stream.state();
    frame_input& in = state.in;
    const auto takes = [&] { return in.complete() && in.size() <= session.most; };
    try {
        if (!in.known() && clock::now() - looked > long_ago) {
            looked = clock::now();
            (void)in.receive(state.socket.get());  // what fails here fails again, in receive()
        }
        while (takes()) stand_in_line(session, in.take());
    } catch (const std::exception& error) {
        return error.what();
    }
    return {};
}

void manager_server::end_session(server_session& session) noexcept {
    session.gone = true;
    sessions_.erase(&session);
    for (auto each = session.running.begin(); each != session.running.end();) {
        each->second.handle.cancel();
        each = each->second.begun ? std::next(each) : session.running.erase(each);
    }
    const std::set<const served_object*> hearers = hearers_;
    for (const served_object* const each : hearers) {
        try {
            each->type.left(each->body, session.id);
        } catch (...) {  // whatever it is, the others are to hear as well
            report(carry(std::current_exception()).text);
        }
    }
    if (session.remote) session.member->end();
    session.stream.close();
}

// Connections from outside

// Holds the listener, which is closed when nobody waits on it any more.
task<> manager_server::accept_all(manager_server& self, unique_fd listener) {
    for (;;) {
        unique_fd socket(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (socket) {
            if (self.strangers_ < most_strangers) spawn(greet(self, std::move(socket)));
        } else if (errno == EAGAIN) {
            readiness_awaiter more = wait_readable(listener.get());
            co_await std::move(more);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            co_await sleep(without_room);
        } else if (errno == EINVAL) {
            break;
        }
    }
}

task<> manager_server::greet(manager_server& self, unique_fd socket) {
    const counted stranger(self.strangers_);
    send_at_once(socket.get());
    std::string why;
    try {
        auto proving =
            timeout(self.seed_.handshake_time, prove_as_manager(socket.get(), self.seed_.authkey));
        co_await std::move(proving);
    } catch (const std::exception& error) {
        why = error.what();
    }
    if (why.empty()) {
        self.open(std::make_shared<manager_member>(), message_stream(std::move(socket)), true);
    } else {
        self.report(why);
    }
}

void serve_manager(manager_seed seed) {
    leave_interrupts_to_the_owner();
    seed.identity.pid = ::getpid();
    // Never destroyed: nobody is left to see its objects go, and they may be many.
    run_options options;
    options.handle_interrupt = false;
    options.brief_spin = seed.brief_spin;
    manager_server& server = *new manager_server(std::move(seed));
    run(options, server.serve());
}

}  // namespace lariat::detail
