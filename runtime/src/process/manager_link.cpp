#include "process/manager_link.hpp"

#include "process/manager_server.hpp"

#include <lariat/base/error.hpp>
#include <lariat/process/manager_error.hpp>
#include <lariat/task/timeout.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <map>
#include <stdexcept>
#include <utility>

namespace lariat::detail {

namespace {

struct link_table {
    std::mutex mutex;
    std::map<std::array<std::uint64_t, 2>, std::weak_ptr<manager_link>> links;
};
// Never destroyed: links in static variables go later.
link_table& table() {
    static link_table& made = *new link_table;
    return made;
}

}  // namespace

manager_link::manager_link(manager_identity who, unique_fd door, std::optional<process> child)
    : identity(std::move(who)), door_(std::move(door)), child_(std::move(child)) {}

manager_link::manager_link(manager_identity who, manager_address where, message_stream connected)
    : identity(std::move(who)), address(std::move(where)), remote_(true) {
    auto session =
        std::make_shared<manager_session>(std::move(connected), std::weak_ptr<manager_link>());
    session->remote = true;
    sessions_.push_back(std::move(session));
}

manager_link::manager_link(manager_identity who, manager_server& server)
    : identity(std::move(who)), server_(&server) {}

manager_link::~manager_link() {
    {
        link_table& all = table();
        const std::lock_guard lock(all.mutex);
        const auto found = all.links.find(identity.number);
        if (found != all.links.end() && found->second.expired()) all.links.erase(found);
    }
    // Their readers see the end. Those of other loops see it when the manager closes them, which it
    // does not do for one that was reached by its address.
    for (const auto& session : sessions_) {
        if (session->home == this_scheduler) {
            session->stream.close();
        } else if (remote_) {
            try {
                (void)session->home_loop.post([session] { session->stream.close(); });
            } catch (const std::bad_alloc&) {  // it stays until that loop's end
            }
        }
    }
    if (child_) {
        parcel nothing;
        (void)send_through_door(door_.get(), door_message(), nothing, door_patience::none);
    }
}

std::shared_ptr<manager_link> manager_link::find(const manager_identity& who) {
    link_table& all = table();
    const std::lock_guard lock(all.mutex);
    const auto found = all.links.find(who.number);
    return found != all.links.end() ? found->second.lock() : nullptr;
}

void manager_link::enter() {
    link_table& all = table();
    const std::lock_guard lock(all.mutex);
    all.links[identity.number] = weak_from_this();
}

std::exception_ptr manager_link::death(bool known, int exit_code) const {
    return std::make_exception_ptr(manager_died(identity.name, identity.pid, known, exit_code));
}

void manager_link::check_over() {
    if (over_ != nullptr) std::rethrow_exception(over_);
}

void manager_link::set_over(std::exception_ptr why) noexcept {
    const std::lock_guard lock(mutex_);
    if (over_ == nullptr) over_ = std::move(why);
}

// Pre: mutex_ is held.
void manager_link::send(const door_message& message, parcel& with) {
    if (server_ != nullptr) return server_->take_own(message, std::move(with));
    flush_drops();
    const int failure = send_through_door(door_.get(), message, with, door_patience::waits);
    if (failure == -EPIPE || failure == -ECONNRESET || failure == -ENOTCONN)
        std::rethrow_exception(death(false, 0));
    if (failure != 0) throw_error(system_code(failure), "reaching a manager");
}

void manager_link::flush_drops() noexcept {
    while (!drops_.empty()) {
        door_message message;
        message.what = door_message::verb::drop;
        message.object = drops_.back();
        parcel nothing;
        const int failure = send_through_door(door_.get(), message, nothing, door_patience::none);
        if (failure == -EAGAIN) return;
        drops_.pop_back();
    }
}

unique_fd manager_link::lend(std::uint64_t object) {
    const std::lock_guard lock(mutex_);
    check_over();
    if (remote_)
        throw std::logic_error(
            "a manager that was reached by its address, and its proxies, cannot go to another "
            "process: let that connect, and get() the object by its name");
    door_pair door = make_door();
    door_message message;
    message.what = door_message::verb::lend;
    message.object = object;
    parcel with;
    with.descriptors.push_back(std::move(door.theirs));
    send(message, with);
    return std::move(door.ours);
}

void manager_link::adopt(std::uint64_t object, unique_fd lent) {
    if (object == 0) return;
    const std::lock_guard lock(mutex_);
    check_over();
    door_message message;
    message.what = door_message::verb::adopt;
    message.object = object;
    parcel with;
    with.descriptors.push_back(std::move(lent));
    send(message, with);
}

void manager_link::drop(std::uint64_t object) noexcept {
    if (object == 0) return;
    if (server_ != nullptr) {
        door_message message;
        message.what = door_message::verb::drop;
        message.object = object;
        return server_->take_own(message, parcel());
    }
    if (remote_) return drop_from_afar(object);
    const std::lock_guard lock(mutex_);
    if (over_ != nullptr) return;
    try {
        drops_.push_back(object);
    } catch (const std::bad_alloc&) {  // it stays until this process's end
        return;
    }
    flush_drops();
}

// Over the one connection there is, whose loop may be another's.
void manager_link::drop_from_afar(std::uint64_t object) noexcept {
    std::optional<loop_ref> elsewhere;
    try {
        const std::lock_guard lock(mutex_);
        if (over_ != nullptr || sessions_.empty()) return;
        drops_.push_back(object);
        if (sessions_.front()->home != this_scheduler) elsewhere = sessions_.front()->home_loop;
        if (elsewhere)
            // Closed meanwhile: then the connection has gone, and what it held.
            (void)elsewhere->post([link = weak_from_this()] {
                if (const auto self = link.lock()) self->tell_drops();
            });
    } catch (const std::bad_alloc&) {  // it stays until the next drop, or the connection's end
        return;
    }
    if (!elsewhere) tell_drops();
}

// Pre: on the connection's loop.
void manager_link::tell_drops() noexcept {
    std::shared_ptr<manager_session> session;
    std::vector<std::uint64_t> drops;
    {
        const std::lock_guard lock(mutex_);
        if (sessions_.empty()) return;
        session = sessions_.front();
        drops.swap(drops_);
    }
    for (const std::uint64_t each : drops) {
        manager_request head;
        head.what = manager_request::verb::drop;
        head.object = each;
        (void)session->tell(head);
    }
}

task<std::exception_ptr> manager_link::find_out(std::shared_ptr<manager_link> self) {
    {
        const std::lock_guard lock(self->mutex_);
        if (self->over_ != nullptr) co_return self->over_;
    }
    std::exception_ptr why = self->death(false, 0);
    if (self->child_) {
        try {
            auto ending = timeout(std::chrono::seconds(1), self->child_->join());
            const process_status status = co_await std::move(ending);
            why = self->death(true, status.exit_code());
        } catch (const std::system_error&) {  // it hangs at its end, or nobody knows
        }
    }
    self->set_over(why);
    co_return why;
}

task<> manager_link::shut_down(std::shared_ptr<manager_link> self) {
    if (!self->child_)
        throw std::logic_error("a manager is shut down by the process that started it");
    self->set_over(std::make_exception_ptr(closed_error("a manager that was shut down")));
    parcel nothing;
    (void)send_through_door(self->door_.get(), door_message(), nothing, door_patience::none);
    bool ended = false;
    try {
        auto ending = timeout(self->grace, self->child_->join());
        (void)co_await std::move(ending);
        ended = true;
    } catch (const timeout_error&) {
    }
    if (ended) co_return;
    self->child_->kill();
    auto ending = self->child_->join();
    (void)co_await std::move(ending);
}

}  // namespace lariat::detail
