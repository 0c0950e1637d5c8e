#include "driver/fault.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace lariat::detail {

namespace {

// Completions carry nothing but their op; the plan whose turn it is is known by its thread.
thread_local fault_plan* at_work = nullptr;

}  // namespace

fault_plan& fault_plan::at(op_code code, std::size_t nth, fault wrong) {
    rules_.push_back({code, nth, 0, wrong});
    return *this;
}

fault_plan& fault_plan::sometimes(std::uint32_t per_mille, fault wrong,
                                  std::optional<op_code> code) {
    rules_.push_back({code, std::nullopt, per_mille, wrong});
    return *this;
}

fault_plan& fault_plan::reorder(bool on) {
    reorders_ = on;
    return *this;
}

bool fault_plan::submit(fault_target& target, op& o) {
    const std::size_t nth = submissions_[o.code]++;
    record& r = records_[&o];
    r = record();
    r.complete = o.complete;
    r.length = o.length;
    r.address = o.address;
    std::optional<int> error;
    for (const rule& each : rules_) {
        const bool meant = each.code ? *each.code == o.code : o.code != op_code::close;
        if (!meant) continue;
        if (each.nth ? *each.nth == nth : random_.chance(each.per_mille))
            apply(each.wrong, o, r, error);
    }
    o.more = false;
    if (error) {
        ++never_submitted_;
        o.result = -*error;
        o.lent = 0;
        note(o, target.now());
        return false;
    }
    o.complete = intercept;
    if (!target.submit(o)) return false;
    // -EOPNOTSUPP at once is no outcome that may come late: it says that nothing was begun.
    const bool refused = o.result == -EOPNOTSUPP;
    if (!refused && (r.delay_turns > 0 || r.delay_time > duration::zero())) {
        note(o, target.now());
        return false;
    }
    restore(o, r);
    records_.erase(&o);
    return true;
}

void fault_plan::apply(const fault& wrong, op& o, record& r, std::optional<int>& error) {
    switch (wrong.kind) {
        case fault::what::fail: error = static_cast<int>(wrong.amount); break;
        case fault::what::shorten: cut(o, r, wrong.amount); return;
        case fault::what::delay: r.delay_turns = wrong.amount; break;
        case fault::what::delay_for: r.delay_time = wrong.time; break;
        case fault::what::late_cancel: r.cancel_late = wrong.amount; break;
    }
    ++struck_;
}

void fault_plan::cut(op& o, record& r, std::uint32_t bytes) {
    switch (o.code) {
        case op_code::recv:
        case op_code::send:
        case op_code::read:
        case op_code::write:
            if (o.multishot || o.length <= bytes) return;
            o.length = bytes;
            break;
        case op_code::recv_msg:
        case op_code::send_msg: {
            r.message = *static_cast<msghdr*>(r.address);
            if (r.message.msg_iovlen == 0) return;
            r.part = r.message.msg_iov[0];
            r.part.iov_len = std::min<std::size_t>(r.part.iov_len, bytes);
            r.message.msg_iov = &r.part;
            r.message.msg_iovlen = 1;
            r.cut_message = true;
            o.address = &r.message;
            break;
        }
        default: return;
    }
    ++struck_;
}

void fault_plan::restore(op& o, const record& r) noexcept {
    o.complete = r.complete;
    o.length = r.length;
    if (!o.multishot) o.address = r.address;
    if (!r.cut_message) return;
    auto& message = *static_cast<msghdr*>(r.address);
    message.msg_namelen = r.message.msg_namelen;
    message.msg_controllen = r.message.msg_controllen;
    message.msg_flags = r.message.msg_flags;
}

void fault_plan::intercept(op& o) noexcept { at_work->note(o, at_work->polled_->now()); }

void fault_plan::note(op& o, time_point now) {
    record& r = records_[&o];
    r.over = !o.more;
    events_.push_back({&o, o.result, o.more, o.lent, o.address, turn_ + r.delay_turns,
                       saturating_add(now, r.delay_time)});
}

void fault_plan::cancel(fault_target& target, op& o) {
    const auto found = records_.find(&o);
    if (found == records_.end() || found->second.over) return;
    record& r = found->second;
    if (r.cancel_turn) return;
    if (r.cancel_late == 0) return target.cancel(o);
    r.cancel_turn = turn_ + r.cancel_late;
}

void fault_plan::forward_cancels(fault_target& target) {
    for (auto& [item, r] : records_) {
        if (r.over || !r.cancel_turn || *r.cancel_turn > turn_) continue;
        r.cancel_turn.reset();
        r.cancel_late = 0;
        target.cancel(const_cast<op&>(*item));
    }
}

// What is held for turns must have its turns: then nothing may wait. What is held for a time bounds
// the wait.
time_point fault_plan::limit(time_point until) const noexcept {
    for (const event& each : events_) {
        if (each.time > polled_->now())
            until = std::min(until, each.time);
        else
            return no_wait;
    }
    for (const auto& [item, r] : records_)
        if (r.cancel_turn && !r.over) return no_wait;
    return until;
}

void fault_plan::poll(fault_target& target, time_point until) {
    ++turn_;
    polled_ = &target;
    fault_plan* outer = std::exchange(at_work, this);
    forward_cancels(target);
    target.poll(limit(until));
    at_work = outer;
    tell(target);
}

std::vector<fault_plan::event> fault_plan::take_due(time_point now) {
    std::vector<event> due;
    std::vector<event> later;
    for (const event& each : events_) {
        const bool behind = std::any_of(later.begin(), later.end(), [&each](const event& other) {
            return other.item == each.item;  // a multishot op's completions keep their order
        });
        const bool ready = each.turn <= turn_ && each.time <= now && !behind;
        (ready ? due : later).push_back(each);
    }
    events_ = std::move(later);
    return due;
}

void fault_plan::shuffle(std::vector<event>& due) {
    std::vector<event> order = due;
    random_.shuffle(order);
    // Places are drawn at random; each op's own events then go to its places in their order.
    std::map<const op*, std::size_t> next;
    for (event& place : order) {
        std::size_t& from = next[place.item];
        while (due[from].item != place.item) ++from;
        place = due[from++];
    }
    due = std::move(order);
}

void fault_plan::tell(fault_target& target) {
    std::vector<event> due = take_due(target.now());
    if (reorders_) shuffle(due);
    for (const event& each : due) {
        op& o = *each.item;
        const op::completion complete = records_[&o].complete;
        if (!each.more) {
            restore(o, records_[&o]);
            records_.erase(&o);
        }
        o.result = each.result;
        o.more = each.more;
        o.lent = each.lent;
        if (o.multishot) o.address = each.address;
        complete(o);
    }
}

driver_stats fault_plan::adjust(driver_stats raw) const noexcept {
    const auto untold = static_cast<std::uint64_t>(std::count_if(
        records_.begin(), records_.end(), [](const auto& each) { return each.second.over; }));
    raw.submitted += never_submitted_;
    raw.completed += never_submitted_ - untold;
    raw.in_flight += untold;
    return raw;
}

}  // namespace lariat::detail
