#include <lariat/process/manager_call.hpp>

#include "process/manager_link.hpp"

#include <lariat/base/error.hpp>
#include <lariat/process/managed_mutex.hpp>
#include <lariat/process/remote_error.hpp>

#include <chrono>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>

namespace lariat {

namespace {

/// One that was reached by an address has no pid that would say anything here.
std::string named(const std::string& manager, int pid) {
    return pid == 0 ? manager : manager + " (pid " + std::to_string(pid) + ")";
}

std::string describe_end(const std::string& manager, int pid, bool known, int exit_code) {
    const std::string text = named(manager, pid) + " ";
    if (!known) return text + "has ended, or is out of reach";
    return text + (exit_code < 0 ? "was ended by signal " + std::to_string(-exit_code)
                                 : "ended with exit code " + std::to_string(exit_code));
}

}  // namespace

manager_died::manager_died(const std::string& manager, int pid, bool known, int exit_code)
    : std::runtime_error(describe_end(manager, pid, known, exit_code)),
      pid_(pid),
      exit_code_(exit_code) {}
manager_died::~manager_died() = default;

manager_silent::manager_silent(const std::string& manager, int pid)
    : std::runtime_error(named(manager, pid) +
                         " gives no answer: whether the lock is held there is not known. It is "
                         "this task's no more: its guard is empty, and if the manager goes on, the "
                         "lock is given back"),
      pid_(pid) {}
manager_silent::~manager_silent() = default;

authentication_error::authentication_error(const std::string& what) : std::runtime_error(what) {}
authentication_error::~authentication_error() = default;

namespace detail {

namespace {

// How long one who was cut waits for the manager's word. It does wait, because only the manager
// knows whether the operation was done before it was withdrawn, and what was done is delivered: an
// item taken from a queue, a lock. Many round trips, and not so long that a timeout seems to hang.
constexpr std::chrono::milliseconds patience{500};

}  // namespace

managed_object::managed_object(std::shared_ptr<manager_link> to, std::uint64_t object) noexcept
    : link_(std::move(to)), id_(object) {}

managed_object::~managed_object() { link_->drop(id_); }

// Waiting

const wait_kind manager_wait::kind_of_wait{"an answer of a manager", &manager_wait::leave};

manager_wait::manager_wait(managed_ref object, parcel&& request, const std::type_info& name,
                           manager_undo undo) noexcept
    : wait_point(kind_of_wait),
      timer_entry([](timer_entry& self) noexcept { static_cast<manager_wait&>(self).give_up(); }),
      object_(std::move(object)),
      message_(std::move(request)),
      name_(&name),
      undo_(undo) {}

manager_wait::manager_wait(manager_wait&& other) noexcept
    : wait_point(static_cast<wait_point&&>(other)),
      timer_entry(other.timer_entry::fire),
      object_(std::move(other.object_)),
      message_(std::move(other.message_)),
      name_(other.name_),
      undo_(other.undo_) {}

manager_wait::~manager_wait() = default;

bool manager_wait::begin() {
    session_ = object_->link().session_here();
    session_->send(*this);
    return true;
}

void manager_wait::answered(parcel&& answer) noexcept {
    message_ = std::move(answer);
    id_ = 0;
    if (timer_entry::armed()) session_->home->timers.disarm(*this);
    manager_answer head;
    std::memcpy(&head, message_.bytes.data(), sizeof head);
    const bool withdrawn = cut_asked_ && head.kind == manager_answer::verb::cancelled;
    wake(withdrawn ? wake_reason::cut : wake_reason::done);
}

void manager_wait::failed(std::exception_ptr why) noexcept {
    failure_ = std::move(why);
    id_ = 0;
    if (timer_entry::armed()) session_->home->timers.disarm(*this);
    // A timeout does not look at what was cut; but the guard must know what has become of its lock.
    wake(cut_asked_ && !undo_.holds ? wake_reason::cut : wake_reason::done);
}

// What holds a lock at its end may have to wait for another holder, so that the manager's word is
// long in coming; but it answers other questions meanwhile. Silent twice: after a pause of this
// process the timer comes before what lies in the socket.
bool manager_wait::may_still_come() noexcept {
    if (const std::uint64_t now = session_->heard(); now != heard_) {
        heard_ = now;
        was_silent_ = false;
        session_->ping();
        return true;
    }
    return !std::exchange(was_silent_, true);
}

void manager_wait::give_up() noexcept {
    if (undo_.holds && may_still_come()) return arm_patience();
    session_->give_up(*this);
    given_up_ = true;
    wake(undo_.holds ? wake_reason::done : wake_reason::cut);
}

void manager_wait::arm_patience() noexcept {
    scheduler& home = *session_->home;
    home.timers.arm(*this, saturating_add(home.now(), undo_.holds ? patience / 2 : patience));
}

void manager_wait::leave(waiter& w) noexcept {
    auto& self = static_cast<manager_wait&>(w);
    self.cut_asked_ = true;
    self.session_->cancel(self);
    if (self.undo_.holds) {
        self.heard_ = self.session_->heard();
        self.session_->ping();
    }
    self.arm_patience();
}

parcel_reader manager_wait::finish() {
    throw_if_cut();
    if (failure_ != nullptr) std::rethrow_exception(failure_);
    parcel_reader from(message_);
    manager_answer head;
    from.take(&head, sizeof head, *name_);
    switch (head.kind) {
        case manager_answer::verb::value: break;
        case manager_answer::verb::thrown:
            std::rethrow_exception(revive(exception_record::unpack_from(from)));
        case manager_answer::verb::unknown:
            throw std::logic_error("the manager's program has no " + type_name(*name_) +
                                   ": some code in it must use the same operation on the same "
                                   "types, before it starts the manager");
        default: throw closed_error("an operation of a manager that is about to end");
    }
    return from;
}

managed_ref manager_wait::finish_with_object() {
    parcel_reader from = finish();
    std::uint64_t id = 0;
    from.take(&id, sizeof id, *name_);
    from.finish();
    return std::make_shared<const managed_object>(object_->shared_link(), id);
}

void tell_manager(const managed_object& object, parcel&& request) noexcept {
    if (this_scheduler == nullptr) return;
    try {
        const auto session = object.link().session_here();
        (void)session->tell(std::move(request));
    } catch (...) {  // it has gone, and what was held with it
    }
}

// Proxies

bool any_proxy::operator==(const any_proxy& other) const noexcept {
    if (object_ == nullptr || other.object_ == nullptr) return object_ == other.object_;
    return object_->id() == other.object_->id() &&
           object_->link().identity.number == other.object_->link().identity.number;
}

const managed_ref& any_proxy::checked() const noexcept {
    require(object_ != nullptr,
            "this proxy, or manager, is empty: it was moved from, or no "
            "make(), get() or start() has filled it");
    return object_;
}

void any_proxy::pack_into(parcel_writer& to) const {
    const managed_object& object = *checked();
    const manager_identity& who = object.link().identity;
    unique_fd door = object.link().lend(object.id());
    write_value(to, who.number);
    write_value(to, who.pid);
    write_value(to, who.name);
    write_value(to, object.id());
    to.attach(std::move(door));
}

managed_ref any_proxy::unpack_object(parcel_reader& from) {
    manager_identity who;
    who.number = read_value<std::array<std::uint64_t, 2>>(from);
    who.pid = read_value<int>(from);
    who.name = read_value<std::string>(from);
    const auto object = read_value<std::uint64_t>(from);
    unique_fd door = from.take_descriptor(typeid(any_proxy));
    std::shared_ptr<manager_link> link = manager_link::find(who);
    if (link == nullptr) {  // what came with the first is this process's from now on
        link = std::make_shared<manager_link>(std::move(who), std::move(door));
        link->enter();
    } else {
        link->adopt(object, std::move(door));
    }
    return std::make_shared<const managed_object>(std::move(link), object);
}

}  // namespace detail

void managed_guard::unlock() noexcept {
    detail::require(held_ != nullptr,
                    "a managed_guard that holds nothing cannot unlock: it was empty, moved from, "
                    "or unlocked before");
    const detail::managed_ref gone = std::exchange(held_, nullptr);
    detail::tell_manager(*gone, std::move(give_back_));
}

}  // namespace lariat
