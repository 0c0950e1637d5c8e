// Connections as their users see them.

#include "process/manager_link.hpp"
#include "process/manager_server.hpp"
#include "process/message_state.hpp"

#include <lariat/base/error.hpp>
#include <lariat/process/remote_error.hpp>
#include <lariat/task/nothrow.hpp>
#include <lariat/task/spawn.hpp>

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace lariat::detail {

namespace {

void set_id(parcel& request, std::uint64_t id) noexcept {
    std::memcpy(request.bytes.data() + offsetof(manager_request, id), &id, sizeof id);
}

/// Lies in the frame of a session's reader: however that ends, and if it never begins.
class session_guard {
 public:
    explicit session_guard(std::shared_ptr<manager_session> of) noexcept : of_(std::move(of)) {}
    session_guard(session_guard&& other) noexcept = default;
    session_guard& operator=(session_guard&&) = delete;
    ~session_guard() {
        if (of_ == nullptr) return;
        of_->end(std::make_exception_ptr(
            closed_error("an operation of a manager, whose loop has ended")));
        if (const auto link = of_->link.lock()) link->forget(*of_);
    }
    [[nodiscard]] manager_session& operator*() const noexcept { return *of_; }

 private:
    std::shared_ptr<manager_session> of_;
};

task<> read_answers(session_guard guard) {
    manager_session& session = *guard;
    for (;;) {
        auto incoming = session.stream.receive();
        auto message = co_await nothrow(std::move(incoming));
        if (!message || !*message) break;
        const bool sound = session.take_answer(std::move(**message));
        if (!sound) break;
    }
    std::exception_ptr why;
    const auto link = session.link.lock();
    if (session.said_bye || link == nullptr) {
        why = std::make_exception_ptr(closed_error("an operation of a manager that was shut down"));
        if (link != nullptr) link->set_over(why);
    } else {
        auto finding = manager_link::find_out(link);
        why = co_await std::move(finding);
    }
    session.end(why);
}

}  // namespace

manager_session::manager_session(message_stream its_stream,
                                 std::weak_ptr<manager_link> its_link) noexcept
    : home(this_scheduler), stream(std::move(its_stream)), link(std::move(its_link)) {}

void manager_session::send(manager_wait& wait) {
    if (over != nullptr) std::rethrow_exception(over);
    parcel& request = wait.message_;
    if (request.descriptors.size() > most_frame_descriptors)
        throw limit_error("an operation of a manager: more than 253 descriptors and proxies");
    if (remote && (!request.descriptors.empty() || !request.references.empty()))
        throw std::invalid_argument(
            "an operation of a manager that was reached by its address: descriptors, shared "
            "memory, handles and proxies go within a family only");
    const std::uint64_t id = ++next_id_;
    set_id(request, id);
    waiting_.emplace(id, &wait);
    wait.id_ = id;
    expect_answers();
    (void)stream.push(std::move(request));  // if it fails, the reader is about to tell why
}

void manager_session::cancel(manager_wait& wait) noexcept {
    manager_request head;
    head.what = manager_request::verb::cancel;
    head.id = wait.id_;
    (void)tell(head);
}

void manager_session::give_up(manager_wait& wait) noexcept {
    waiting_.erase(wait.id_);
    expect_answers();
    late_.emplace(std::exchange(wait.id_, 0), late_request{wait.object_->id(), wait.undo_});
}

bool manager_session::tell(parcel&& request) noexcept {
    return over == nullptr && stream.push(std::move(request));
}

bool manager_session::tell(const manager_request& head) noexcept {
    parcel request;
    parcel_writer to(request);
    to.append(&head, sizeof head);
    return tell(std::move(request));
}

void manager_session::ping() noexcept {
    manager_request head;
    head.what = manager_request::verb::ping;
    head.id = ++next_id_;
    late_.emplace(head.id, late_request{0, manager_undo()});
    (void)tell(head);
}

bool manager_session::take_answer(parcel&& message) noexcept {
    manager_answer head;
    if (message.bytes.size() < sizeof head) return false;
    std::memcpy(&head, message.bytes.data(), sizeof head);
    ++heard_;
    if (head.kind == manager_answer::verb::bye) {
        said_bye = true;
        return true;
    }
    if (const auto found = waiting_.find(head.id); found != waiting_.end()) {
        manager_wait& wait = *found->second;
        waiting_.erase(found);
        expect_answers();
        wait.answered(std::move(message));
        return true;
    }
    const auto late = late_.find(head.id);
    if (late == late_.end()) return false;
    const late_request request = late->second;
    late_.erase(late);
    if (request.undo.holds) {
        if (head.kind != manager_answer::verb::thrown) undo_hold(request);
    } else if (head.kind == manager_answer::verb::value) {
        undo(request, std::move(message));
    }
    return true;
}

void manager_session::undo_hold(const late_request& request) noexcept {
    parcel taken;
    parcel_writer to(taken);
    manager_request head;
    head.object = request.object;
    head.key = request.undo.key;
    to.append(&head, sizeof head);
    write_value(to, request.undo.argument);
    (void)tell(std::move(taken));
}

void manager_session::undo(const late_request& request, parcel&& answer) noexcept {
    parcel taken = std::move(answer);
    if (request.undo.drops) {
        std::uint64_t object = 0;
        if (taken.bytes.size() != sizeof(manager_answer) + sizeof object) return;
        std::memcpy(&object, taken.bytes.data() + sizeof(manager_answer), sizeof object);
        if (request.undo.names) forget_name_of(object);
        if (const auto to = link.lock()) to->drop(object);
    } else if (request.undo.key != 0) {
        manager_request head;
        head.object = request.object;
        head.key = request.undo.key;
        // The answer's head makes way for the request's; what follows is the argument.
        static_assert(sizeof head == 2 * sizeof(manager_answer));
        const auto* const first = reinterpret_cast<const std::byte*>(&head);
        taken.bytes.insert(taken.bytes.begin(), sizeof(manager_answer), std::byte{});
        std::copy(first, first + sizeof head, taken.bytes.begin());
        (void)tell(std::move(taken));
    }
}

void manager_session::forget_name_of(std::uint64_t object) noexcept {
    manager_request head;
    head.what = manager_request::verb::forget;
    head.object = object;
    (void)tell(head);
}

void manager_session::end(const std::exception_ptr& why) noexcept {
    if (over != nullptr) return;
    over = why;
    stream.close();
    late_.clear();
    const auto left = std::exchange(waiting_, {});
    expect_answers();
    for (const auto& each : left) each.second->failed(why);
}

void manager_session::expect_answers() noexcept { answers_.set(*home, !waiting_.empty()); }

std::shared_ptr<manager_session> manager_link::session_here() {
    (void)required_scheduler("an operation of a manager");
    std::shared_ptr<manager_session> found;
    {
        const std::lock_guard lock(mutex_);
        check_over();
        for (const auto& each : sessions_)
            if (each->home == this_scheduler) return each;
        if (remote_)
            throw std::logic_error(
                "a manager that was reached by its address is used on the loop that connected, "
                "while that runs: connect here as well");
        found = open_session();
        sessions_.push_back(found);
    }
    spawn(read_answers(session_guard(found)));
    return found;
}

std::shared_ptr<manager_session> manager_link::open_session() {
    message_streams ends = make_message_streams("an operation of a manager");
    parcel with;
    parcel_writer to(with);
    std::move(ends.other).pack_into(to);
    door_message message;
    message.what = door_message::verb::connect;
    send(message, with);
    return std::make_shared<manager_session>(std::move(ends.one), weak_from_this());
}

void manager_link::forget(const manager_session& session) noexcept {
    std::shared_ptr<manager_session> gone;
    const std::lock_guard lock(mutex_);
    const auto found = std::find_if(sessions_.begin(), sessions_.end(),
                                    [&](const auto& each) { return each.get() == &session; });
    if (found == sessions_.end()) return;
    gone = std::move(*found);
    sessions_.erase(found);
}

void manager_link::begin_reading() {
    sessions_.front()->link = weak_from_this();
    sessions_.front()->stream.state()->in.take_only_bytes();
    spawn(read_answers(session_guard(sessions_.front())));
}

}  // namespace lariat::detail
