#include <lariat/process/pool_map.hpp>

#include <lariat/process/pool_imap.hpp>

#include "process/pool_core.hpp"

#include <algorithm>
#include <utility>

namespace lariat::detail {

namespace {

// So many that a worker which began late, or lost its core for a while, is not waited for long.
constexpr std::size_t chunks_a_worker = 16;
// Larger ones gain nothing, and leave the caches.
constexpr std::size_t most_in_chunk = 16'384;
// Results that may hold descriptors, of which a message takes 253: fifteen each.
constexpr std::size_t most_with_descriptors = 16;
// The last chunks grow smaller, down to so small a part: who ends first waits for less.
constexpr std::size_t taper = 8;
// Functions that a map has submitted: a worker's fill, and some to follow. Tasks run at once.
constexpr std::size_t functions_a_worker = 320;
constexpr std::size_t tasks_a_worker = 4096;
constexpr std::size_t most_bytes = std::size_t{16} << 20;  // of the arguments of these
constexpr std::size_t ahead_a_worker = 256;

worker_call& call_of(group_link& link) noexcept { return static_cast<worker_call&>(link); }

void take_back(list<group_link>& calls) noexcept {
    while (!calls.empty()) {
        worker_call& call = call_of(calls.pop_front());
        call.listener = nullptr;
        (void)cancel_call(call);
        call.drop_ref();
    }
}

}  // namespace

remote_map::remote_map(std::shared_ptr<process_pool_core> pool, const functions& how,
                       const map_options& options) noexcept
    : call_listener(&remote_map::told),
      pool_(std::move(pool)),
      how_(&how),
      chunk_(options.chunk),
      progress_(options.progress) {}

remote_map::remote_map(remote_map&& other) noexcept
    : call_listener(&remote_map::told),
      pool_(std::move(other.pool_)),
      how_(other.how_),
      chunk_(other.chunk_),
      progress_(other.progress_) {}

bool remote_map::start(std::size_t items, bool of_tasks, waiter& when_done) noexcept {
    const std::size_t workers = pool_->count();
    items_ = items;
    automatic_ = chunk_ == 0;
    if (automatic_) {
        const std::size_t chunks = chunks_a_worker * workers;
        chunk_ = std::clamp<std::size_t>(
            (items + chunks - 1) / chunks, 1,
            how_->gives_descriptors ? most_with_descriptors : most_in_chunk);
        least_chunk_ = std::max<std::size_t>(chunk_ / taper, 1);
    } else {
        least_chunk_ = chunk_;
    }
    most_ = workers * (of_tasks ? tasks_a_worker : functions_a_worker);
    if (progress_ != nullptr) progress_->begin(items);
    try {
        pool_->require_open();  // also for no items
        feed();
    } catch (...) {
        fail(std::current_exception());
    }
    if (complete()) {
        leave_pool();
        return false;
    }
    when_done_ = &when_done;
    return true;
}

/// Pre: there are items left.
std::size_t remote_map::next_chunk() const noexcept {
    const std::size_t left = items_ - given_;
    const std::size_t fair = left / (2 * pool_->count());
    return std::min(std::clamp(fair, least_chunk_, chunk_), left);
}

void remote_map::feed() {
    const std::size_t least = 2 * pool_->count();
    while (!failure_ && given_ < items_) {
        if (under_way_ >= most_ || (under_way_ >= least && bytes_ >= most_bytes)) return;
        stretch part{given_, next_chunk()};
        call_ref call(new worker_call(how_->pack(*this, part, automatic_)));
        call->position = part.begin;
        call->items = part.count;
        pool_->submit(*call, counted_);
        call->listener = this;
        if (!std::exchange(counted_, true)) pool_->map_began();
        given_ += part.count;
        ++under_way_;
        bytes_ += call->bytes;
        calls_.push_back(*call.release());
    }
}

void remote_map::told(call_listener& self, worker_call& call) noexcept {
    auto& map = static_cast<remote_map&>(self);
    map.settle(call);
    if (!map.complete()) return;
    map.leave_pool();
    if (map.when_done_ != nullptr) std::exchange(map.when_done_, nullptr)->wake();
}

void remote_map::settle(worker_call& call) noexcept {
    static_cast<group_link&>(call).unlink();
    const call_ref ended(&call);
    const stretch part{call.position, call.items};
    ended_ += part.count;
    --under_way_;
    bytes_ -= call.bytes;
    try {
        if (call.how != worker_call::ending::value) return fail(call.take_failure());
        how_->store(*this, part, call.take_answer());
        if (progress_ != nullptr) progress_->add(part.count);
        feed();
    } catch (...) {
        fail(std::current_exception());
    }
}

void remote_map::fail(std::exception_ptr why) noexcept {
    if (!failure_) failure_ = std::move(why);
    take_back(calls_);
}

void remote_map::stop() noexcept {
    when_done_ = nullptr;
    take_back(calls_);
    leave_pool();
}

void remote_map::leave_pool() noexcept {
    if (std::exchange(counted_, false)) pool_->map_ended();
}

void remote_map::check() const {
    if (failure_) std::rethrow_exception(failure_);
}

const wait_kind remote_map_wait::kind_of_wait{"a map in a process_pool", &remote_map_wait::leave};

void remote_map_wait::leave(waiter& w) noexcept {
    auto& self = static_cast<remote_map_wait&>(w);
    self.map_->stop();
    self.wake(wake_reason::cut);
}

// imap

call_line::call_line(std::shared_ptr<process_pool_core> pool, line_order order,
                     const map_options& options) noexcept
    : call_listener(&call_line::told),
      pool_(std::move(pool)),
      order_(order),
      most_(options.ahead != 0 ? options.ahead : ahead_a_worker * pool_->count()),
      least_(options.ahead != 0 ? options.ahead : 2 * pool_->count()) {}

bool call_line::has_room() const noexcept {
    return size_ < least_ || (size_ < most_ && bytes_ < most_bytes);
}

call_line::~call_line() {
    take_back(calls_);
    take_back(ended_);
}

void call_line::submit(packed_call&& what) {
    call_ref call(new worker_call(std::move(what)));
    submit_call(*pool_, *call);
    call->listener = this;
    ++size_;
    bytes_ += call->bytes;
    calls_.push_back(*call.release());
}

bool call_line::ready() noexcept {
    if (order_ == line_order::as_ended) return !ended_.empty();
    return !calls_.empty() && call_of(calls_.front()).ended();
}

void call_line::told(call_listener& self, worker_call& call) noexcept {
    auto& line = static_cast<call_line&>(self);
    if (line.order_ == line_order::as_ended) {
        static_cast<group_link&>(call).unlink();
        line.ended_.push_back(call);
    }
    if (line.consumer_ != nullptr && line.ready()) std::exchange(line.consumer_, nullptr)->wake();
}

parcel call_line::take() {
    list<group_link>& from = order_ == line_order::as_ended ? ended_ : calls_;
    const call_ref ended(&call_of(from.pop_front()));
    --size_;
    bytes_ -= ended->bytes;
    return ended->take_answer();
}

const wait_kind call_line::next_wait::kind_of_wait{"the next result of a process_pool",
                                                   &call_line::next_wait::leave};

void call_line::next_wait::leave(waiter& w) noexcept {
    auto& self = static_cast<next_wait&>(w);
    self.line_->consumer_ = nullptr;
    self.wake(wake_reason::cut);
}

}  // namespace lariat::detail
