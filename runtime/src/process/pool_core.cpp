// The policy of a pool: which worker gets which call, and what becomes of calls.

#include "process/pool_core.hpp"

#include <lariat/base/error.hpp>
#include <lariat/process/pool_map.hpp>
#include <lariat/process/worker_died.hpp>

#include "process/arena_layout.hpp"
#include "process/pool_wire.hpp"

#include <cerrno>
#include <stdexcept>
#include <utility>

#include <sched.h>
#include <sys/eventfd.h>

namespace lariat::detail {

namespace {

constexpr std::size_t most_looked_through = 128;

std::vector<int> usable_cores() {
    cpu_set_t all;
    CPU_ZERO(&all);
    std::vector<int> cores;
    if (::sched_getaffinity(0, sizeof all, &all) != 0) return cores;
    for (int core = 0; core < CPU_SETSIZE; ++core)
        if (CPU_ISSET(static_cast<unsigned>(core), &all)) cores.push_back(core);
    return cores;
}

worker_call& call_of(list_link& link) noexcept {
    return static_cast<worker_call&>(static_cast<pool_link&>(link));
}

/// From a message that nobody has read yet.
cell_ref hold(transit_ref&& under_way) {
    const auto* item =
        reinterpret_cast<const reference*>(static_cast<std::uintptr_t>(under_way.id()));
    const cell_kind* const kind = item->to.load(std::memory_order_relaxed)->kind.get();
    if (kind == nullptr)
        throw parcel_error("this call takes a shared object of a library that is not loaded here");
    return cell_ref::take(std::move(under_way), *kind);
}

}  // namespace

process_pool_core::process_pool_core(const process_pool_options& chosen)
    : options_(chosen), home_(&required_scheduler("making a process_pool")) {
    pump_.run = [](runnable& self) noexcept {
        const auto core = std::move(static_cast<pump_call&>(self).of);
        core->pump();
    };
    std::vector<int> usable = usable_cores();
    const std::size_t cores = std::max<std::size_t>(usable.size(), 1);
    if (options_.count == 0) options_.count = cores;
    options_.most_start_failures = std::max<std::size_t>(options_.most_start_failures, 1);
    if (options_.pin.value_or(options_.count == cores)) cores_ = std::move(usable);
    bell_ = unique_fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!bell_) throw_error(system_code(-errno), "making a process_pool");
}

process_pool_core::~process_pool_core() = default;

int process_pool_core::core_of(std::size_t at) const noexcept {
    return cores_.empty() ? -1 : cores_[at % cores_.size()];
}

process_pool_stats process_pool_core::stats() const noexcept {
    process_pool_stats now = counts_;
    for (const place& each : places_)
        if (each.worker) ++now.workers;
    return now;
}

void process_pool_core::require_open(bool of_begun_map) const {
    require(this_scheduler == home_, "a process_pool belongs to the loop that made it");
    if (!broken_.empty()) throw pool_start_error(broken_);
    if (terminated_ || (closing_ && !of_begun_map))
        throw closed_error("calling a function in a process_pool");
}

void process_pool_core::submit(worker_call& call, bool of_begun_map) {
    require_open(of_begun_map);
    parcel& arguments = call.what.arguments;
    if (arguments.descriptors.size() > most_call_descriptors)
        throw limit_error("a call in a process_pool with " +
                          std::to_string(arguments.descriptors.size()) + " descriptors");
    call.held.reserve(arguments.references.size());
    for (transit_ref& each : arguments.references) call.held.push_back(hold(std::move(each)));
    arguments.references.clear();
    call.pool = this;
    call.add_ref();
    ++counts_.submitted;
    enqueue(call, false);
}

void process_pool_core::enqueue(worker_call& call, bool first) noexcept {
    call.now = worker_call::phase::queued;
    list<pool_link>& queue = call.is_task() ? tasks_ : plain_;
    if (first) {
        queue.push_front(call);
    } else {
        queue.push_back(call);
    }
    ++counts_.queued;
    pump_later();
}

bool process_pool_core::cancel(worker_call& call) noexcept {
    if (call.now == worker_call::phase::queued) {
        static_cast<pool_link&>(call).unlink();
        --counts_.queued;
        end(call, worker_call::ending::cancelled);
        return true;
    }
    pool_worker& worker = *call.on;
    if (worker.withdraw(call)) {
        --counts_.running;
        end(call, worker_call::ending::cancelled);
        pump_later();
        return true;
    }
    try {
        if (call.is_task()) worker.cancel(call);
    } catch (...) {  // no memory to say it: its result is thrown away all the same
    }
    if (options_.kill_on_cancel) worker.kill_unless_ended(call);
    call.how = worker_call::ending::cancelled;
    call.tell_end();
    pump_later();
    return true;
}

/// Pre: on no list.
void process_pool_core::end(worker_call& call, worker_call::ending how) noexcept {
    call.now = worker_call::phase::over;
    ++counts_.done;
    if (!call.ended()) {
        call.how = how;
        call.tell_end();
    }
    call.drop_ref();
}

void process_pool_core::answered(pool_worker& worker, const answer_header& head,
                                 parcel&& body) noexcept {
    worker_call* const call = worker.find(head.slot, head.id);
    if (call == nullptr) return;
    if (head.kind == answer_kind::begun) {
        call->begun = true;
        return call->drop_arguments();
    }
    if (!call->ended()) call->answer = std::move(body);
    const bool value = head.kind == answer_kind::value;
    settled(worker, *call, value ? worker_call::ending::value : worker_call::ending::thrown);
}

/// The worker has ended it.
void process_pool_core::settled(pool_worker& worker, worker_call& call,
                                worker_call::ending how) noexcept {
    worker.release(call);
    worker.answered = true;
    worker.was_heard();
    failures_ = 0;
    --counts_.running;
    end(call, how);
}

void process_pool_core::look_at(pool_worker& worker) noexcept {
    const bool rung = worker.board->take_ring();
    if (rung) worker.was_heard();
    answer_header head;
    std::span<const std::byte> body;
    bool damaged = false;
    try {
        while (worker.board->look(head, body, damaged)) {
            parcel answer;
            answer.bytes.assign(body.begin(), body.end());
            worker.board->drop();
            answered(worker, head, std::move(answer));
        }
    } catch (...) {  // no memory for an answer: it stays there
        damaged = true;
    }
    if (damaged) worker.terminate();
    if (worker.plain == 0) {
        home_->timers.disarm(worker.look_);
    } else if (rung) {
        home_->timers.arm(worker.look_, saturating_add(home_->now(), look_after));
    }
    pump_later();
}

void process_pool_core::pump_later() noexcept {
    if (pump_.of != nullptr) return;
    pump_.of = shared_from_this();
    home_->ready.push(pump_);
}

void process_pool_core::pump() noexcept {
    distribute(tasks_, true);
    distribute(plain_, false);
    relieve();
    retire();
    for (const place& each : places_) {
        if (!each.worker) continue;
        try {
            (void)each.worker->flush();  // if it has gone, it will be noticed
        } catch (...) {                  // no memory: what was sent is lost to this worker
            each.worker->terminate();
        }
    }
    answers_.set(*home_, counts_.running != 0);
}

void process_pool_core::distribute(list<pool_link>& queue, bool tasks) noexcept {
    while (!queue.empty()) {
        pool_worker* const worker = least_loaded(tasks);
        if (worker == nullptr) return;
        worker_call& call = call_of(queue.pop_front());
        --counts_.queued;
        hand_over(*worker, call);
    }
}

pool_worker* process_pool_core::least_loaded(bool for_task) const noexcept {
    const auto load = [](const pool_worker& worker) {
        return std::tuple(worker.late, worker.plain, worker.tasks(), !worker.board->ready());
    };
    pool_worker* best = nullptr;
    for (const place& each : places_) {
        pool_worker* const worker = each.worker.get();
        if (worker == nullptr || !worker->has_room(for_task)) continue;
        if (best == nullptr || load(*worker) < load(*best)) best = worker;
    }
    return best;
}

void process_pool_core::hand_over(pool_worker& worker, worker_call& call) noexcept {
    try {
        worker.send(call);
        ++counts_.running;
    } catch (...) {
        call.failure = std::current_exception();
        end(call, worker_call::ending::failed);
    }
}

/// A worker that has no function to call takes from one that has more than it can begin, or that
/// does not begin it.
void process_pool_core::relieve() noexcept {
    if (!plain_.empty() || !tasks_.empty()) return;  // there is no room anywhere
    for (const place& idle : places_) {
        if (!idle.worker || idle.worker->plain != 0 || idle.worker->late ||
            !idle.worker->board->ready() || !idle.worker->has_room(false))
            continue;
        pool_worker* loaded = nullptr;
        for (const place& each : places_) {
            pool_worker* const other = each.worker.get();
            if (other == nullptr || other == idle.worker.get() || other->size == 0) continue;
            const bool waits = other->plain > 1 || (other->plain == 1 && other->size > 1) ||
                               !other->board->ready() || other->late;
            if (waits && (loaded == nullptr || other->size > loaded->size)) loaded = other;
        }
        if (loaded == nullptr) return;
        take_from(*loaded);
        distribute(tasks_, true);
        distribute(plain_, false);
    }
}

/// Half of what it has not begun goes back into the queues: the youngest.
void process_pool_core::take_from(pool_worker& loaded) noexcept {
    std::size_t waiting = 0;
    std::size_t left = std::min(loaded.size, most_looked_through);
    for (list_link* at = &loaded.calls.back(); left != 0; --left, at = at->prev) {
        const worker_call& call = call_of(*at);
        if (!loaded.board->has_begun(call.slot, call.id)) ++waiting;
    }
    std::size_t wanted = (waiting + 1) / 2;
    left = std::min(loaded.size, most_looked_through);
    list_link* at = &loaded.calls.back();
    for (; left != 0 && wanted != 0; --left) {
        worker_call& call = call_of(*at);
        at = at->prev;
        if (!loaded.withdraw(call)) continue;
        --wanted;
        --counts_.running;
        enqueue(call, true);
    }
}

/// Workers that have done their part are told to end.
void process_pool_core::retire() noexcept {
    const bool all = nothing_to_come();
    const std::size_t most = options_.max_tasks_per_child;
    for (const place& each : places_) {
        if (all && each.pause != nullptr) each.pause->cancel();
        pool_worker* const worker = each.worker.get();
        if (worker == nullptr || worker->size != 0 || worker->stopping || worker->gone) continue;
        if (!all && (most == 0 || worker->taken < most)) continue;
        try {
            worker->stop();
        } catch (...) {  // no memory to tell it
            worker->terminate();
        }
    }
}

bool process_pool_core::nothing_to_come() const noexcept {
    return closing_ && maps_ == 0 && plain_.empty() && tasks_.empty();
}

void process_pool_core::map_ended() noexcept {
    --maps_;
    if (closing_ && live_places_ != 0) pump_later();
}

void process_pool_core::close() noexcept {
    if (closing_) return;
    closing_ = true;
    if (live_places_ != 0) pump_later();
}

void process_pool_core::fail_queued(worker_call::ending how) noexcept {
    for (list<pool_link>* queue : {&plain_, &tasks_}) {
        while (!queue->empty()) {
            worker_call& call = call_of(queue->pop_front());
            --counts_.queued;
            if (how == worker_call::ending::failed)
                call.failure = std::make_exception_ptr(pool_start_error(broken_));
            end(call, how);
        }
    }
}

void process_pool_core::terminate() noexcept {
    closing_ = true;
    if (std::exchange(terminated_, true)) return;
    fail_queued(worker_call::ending::closed);
    for (const place& each : places_) {
        if (each.pause != nullptr) each.pause->cancel();
        if (!each.worker) continue;
        // Who is told may cancel others: each call is on one of the two lists at any moment.
        list<pool_link> left;
        left.splice_back(each.worker->calls);
        while (!left.empty()) {
            worker_call& call = call_of(left.pop_front());
            each.worker->calls.push_back(call);
            if (call.ended()) continue;
            call.how = worker_call::ending::closed;
            call.tell_end();
        }
        each.worker->terminate();
    }
}

}  // namespace lariat::detail
