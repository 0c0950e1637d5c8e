#include "process/manager_server.hpp"

#include "process/manager_link.hpp"
#include "process/manager_registry.hpp"
#include "process/message_state.hpp"

#include <lariat/base/error.hpp>
#include <lariat/process/remote_error.hpp>

#include <algorithm>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <utility>

namespace lariat::detail {

namespace {

/// An answer begins with its head, which is filled in when it goes out.
void begin_answer(parcel& answer) {
    const manager_answer head;
    parcel_writer(answer).append(&head, sizeof head);
}

parcel thrown_answer(const std::exception_ptr& thrown) {
    parcel answer;
    begin_answer(answer);
    parcel_writer to(answer);
    carry(thrown).pack_into(to);
    return answer;
}

template <class Error>
parcel refusal(const std::string& why) {
    return thrown_answer(std::make_exception_ptr(Error(why)));
}

template <class T>
parcel value_answer(const T& value) {
    parcel answer;
    begin_answer(answer);
    parcel_writer to(answer);
    write_value(to, value);
    return answer;
}

/// A request's name, and where what follows it begins.
std::string read_name(const parcel& message, std::size_t& at) {
    parcel_reader from(std::span<const std::byte>(message.bytes).subspan(sizeof(manager_request)));
    std::string name = read_value<std::string>(from);
    at = sizeof(manager_request) + from.position();
    return name;
}

}  // namespace

// Objects, and who holds them

served_object::~served_object() {
    server.object_gone(*this);
    type.destroy(body);
}

void manager_server::object_gone(const served_object& object) noexcept {
    objects_.erase(object.id);
    hearers_.erase(&object);
}

object_hold manager_server::find(std::uint64_t id) const noexcept {
    const auto found = objects_.find(id);
    return found != objects_.end() ? found->second.lock() : nullptr;
}

object_hold manager_server::object_of(std::uint64_t id, const std::type_info& type) const {
    object_hold object = find(id);
    if (object == nullptr)
        throw std::invalid_argument("the manager has no object of number " + std::to_string(id));
    if (*object->type.type != type)
        throw std::invalid_argument("the manager's object is a " + type_name(*object->type.type) +
                                    ", not a " + type_name(type));
    return object;
}

std::shared_ptr<void> object_beside(const manager_caller& who, std::uint64_t id,
                                    const std::type_info& type) {
    object_hold object = who.server->object_of(id, type);
    void* const body = object->body;
    return {std::move(object), body};
}

void manager_member::hold(const object_hold& object) {
    if (ended_) return;
    held& entry = holds_[object->id];
    entry.object = object;
    ++entry.count;
}

// An object's end may drop others that are held here.
void manager_member::drop(std::uint64_t object) noexcept {
    const auto found = holds_.find(object);
    if (found == holds_.end() || --found->second.count != 0) return;
    const object_hold last = std::move(found->second.object);
    holds_.erase(found);
}

void manager_member::end() noexcept {
    ended_ = true;
    const auto all = std::exchange(holds_, {});
}

// Requests

bool manager_server::obey(const session_ref& session, parcel&& message) {
    using verb = manager_request::verb;
    manager_request head;
    if (message.bytes.size() < sizeof head) return false;
    std::memcpy(&head, message.bytes.data(), sizeof head);
    const bool cancels = head.what == verb::cancel;
    const bool withdrawn = !session->withdrawn.empty() && session->withdrawn.erase(head.id) != 0;
    if (withdrawn && !cancels) {
        answer_cancelled(*session, head.id);
        return true;
    }
    try {
        switch (head.what) {
            case verb::call: call(session, head, std::move(message)); return true;
            case verb::make: make(*session, head, std::move(message)); return true;
            case verb::get: get(*session, head, std::move(message)); return true;
            case verb::forget: forget(*session, head, std::move(message)); return true;
            case verb::cancel: cancel(*session, head.id); return true;
            case verb::drop: session->member->drop(head.object); return true;
            case verb::ping:
                answer(*session, head.id, manager_answer::verb::value, value_answer(head.id));
                return true;
        }
    } catch (...) {  // what the operation threw, or there is no memory for it
        answer(*session, head.id, manager_answer::verb::thrown,
               thrown_answer(std::current_exception()));
        return true;
    }
    return false;
}

void manager_server::call(const session_ref& session, const manager_request& head,
                          parcel&& message) {
    const served_call* const wanted = find_call(head.key);
    if (wanted == nullptr || wanted->make != nullptr) {
        parcel nothing;
        begin_answer(nothing);
        return answer(*session, head.id, manager_answer::verb::unknown, std::move(nothing));
    }
    object_hold object = object_of(head.object, *wanted->on->type);
    if (wanted->begin != nullptr) {
        if (head.id != 0 && session->running.contains(head.id))
            throw std::invalid_argument("two operations of one number");
        join_handle<> handle =
            spawn(run_call(*this, session, std::move(object), wanted, head.id, std::move(message)));
        if (head.id != 0) session->running.emplace(head.id, running_call{std::move(handle)});
        return;
    }
    call_site site;
    site.caller = {session->id, this};
    site.request = std::move(message);
    site.at = sizeof head;
    begin_answer(site.answer);
    wanted->run(object->body, site);
    answer(*session, head.id, manager_answer::verb::value, std::move(site.answer));
}

task<> manager_server::run_call(manager_server& self, session_ref session, object_hold object,
                                const served_call* wanted, std::uint64_t id, parcel request) {
    if (const auto here = session->running.find(id); here != session->running.end())
        here->second.begun = true;
    auto kind = manager_answer::verb::value;
    call_site site;
    site.caller = {session->id, &self};
    site.request = std::move(request);
    site.at = sizeof(manager_request);
    begin_answer(site.answer);
    try {
        auto begun = wanted->begin(object->body, site);
        co_await std::move(begun);
    } catch (const cancelled&) {  // withdrawn: it ends here, and who asked is told
        kind = manager_answer::verb::cancelled;
        site.answer = parcel();
        begin_answer(site.answer);
    } catch (...) {
        kind = manager_answer::verb::thrown;
        site.answer = thrown_answer(std::current_exception());
    }
    self.answer(*session, id, kind, std::move(site.answer));
    session->running.erase(id);
    if (session->gone && object->type.left != nullptr) object->type.left(object->body, session->id);
}

void manager_server::make(server_session& session, const manager_request& head, parcel&& message) {
    const served_call* const wanted = find_call(head.key);
    if (wanted == nullptr || wanted->make == nullptr) {
        parcel nothing;
        begin_answer(nothing);
        return answer(session, head.id, manager_answer::verb::unknown, std::move(nothing));
    }
    call_site site;
    site.caller = {session.id, this};
    site.request = std::move(message);
    const std::string name = read_name(site.request, site.at);
    if (names_.contains(name))
        throw std::invalid_argument("the manager has an object of the name \"" + name +
                                    "\" already");
    void* const body = wanted->make(site);
    object_hold object;
    try {
        object = std::make_shared<served_object>(*this, *wanted->on, body);
    } catch (...) {
        wanted->on->destroy(body);
        throw;
    }
    object->id = ++next_object_;
    objects_.emplace(object->id, object);
    if (object->type.left != nullptr) hearers_.insert(object.get());
    if (!name.empty()) names_.emplace(name, object);
    session.member->hold(object);
    answer(session, head.id, manager_answer::verb::value, value_answer(object->id));
}

void manager_server::get(server_session& session, const manager_request& head, parcel&& message) {
    std::size_t at = 0;
    const std::string name = read_name(message, at);
    const auto found = names_.find(name);
    if (found == names_.end())
        throw std::out_of_range("the manager has no object of the name \"" + name + '"');
    const object_hold& object = found->second;
    if (name_key(object->type.type->name()) != head.key)
        throw std::invalid_argument("the manager's object \"" + name + "\" is a " +
                                    type_name(*object->type.type));
    session.member->hold(object);
    answer(session, head.id, manager_answer::verb::value, value_answer(object->id));
}

void manager_server::forget(server_session& session, const manager_request& head,
                            parcel&& message) {
    object_hold last;
    auto found = names_.begin();
    if (head.object != 0) {
        const auto is_its = [&](const auto& each) { return each.second->id == head.object; };
        found = std::ranges::find_if(names_, is_its);
    } else {
        std::size_t at = 0;
        found = names_.find(read_name(message, at));
    }
    const bool there = found != names_.end();
    if (there) {
        last = std::move(found->second);
        names_.erase(found);
    }
    answer(session, head.id, manager_answer::verb::value, value_answer(there));
}

void manager_server::cancel(server_session& session, std::uint64_t id) noexcept {
    // If it is not there it has ended, and its answer is on the way.
    const auto found = session.running.find(id);
    if (found == session.running.end()) return;
    found->second.handle.cancel();
    if (found->second.begun) return;
    session.running.erase(found);
    answer_cancelled(session, id);
}

void manager_server::answer_cancelled(server_session& session, std::uint64_t id) noexcept {
    try {
        parcel nothing;
        begin_answer(nothing);
        answer(session, id, manager_answer::verb::cancelled, std::move(nothing));
    } catch (const std::bad_alloc&) {  // who asked gives up by itself
    }
}

void manager_server::answer(server_session& session, std::uint64_t id, manager_answer::verb kind,
                            parcel&& what) noexcept {
    if (id == 0 || session.gone) return;
    parcel message = std::move(what);
    if (kind == manager_answer::verb::value) {
        try {
            const bool foreign =
                session.remote && (!message.descriptors.empty() || !message.references.empty());
            if (foreign || message.descriptors.size() > most_frame_descriptors)
                throw std::logic_error(
                    "the result cannot be sent: it has more than 253 descriptors or proxies, or "
                    "has any and is asked for from an address");
        } catch (...) {
            kind = manager_answer::verb::thrown;
            message = thrown_answer(std::current_exception());
        }
    }
    const manager_answer head{id, kind};
    std::memcpy(message.bytes.data(), &head, sizeof head);
    (void)session.stream.push(std::move(message));
}

void manager_server::report(const std::string& what) noexcept {
    if (this_scheduler == nullptr || this_scheduler->report == nullptr) return;
    try {
        const auto said = std::make_exception_ptr(std::runtime_error("manager: " + what));
        this_scheduler->report(*this_scheduler, nullptr, said, false);
    } catch (...) {  // no memory to say it
    }
}

}  // namespace lariat::detail
