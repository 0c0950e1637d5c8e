#include "process/pool_worker.hpp"

#include <lariat/base/error.hpp>
#include <lariat/task/scheduler.hpp>

#include "process/arena_layout.hpp"
#include "process/message_state.hpp"
#include "process/pool_core.hpp"
#include "process/pool_wire.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <exception>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <fcntl.h>

namespace lariat::detail {

namespace {

// Functions that lie ready at a worker: enough that short ones keep it busy until the pool, woken
// every bell_pause, has sent more; of large ones no more than the next.
constexpr std::size_t most_plain = 256;
constexpr std::size_t most_plain_bytes = std::size_t{1} << 20;
constexpr std::size_t most_batch_bytes = std::size_t{256} << 10;

unique_fd duplicate(int of, const char* what_for) {
    unique_fd copy(::fcntl(of, F_DUPFD_CLOEXEC, 3));
    if (!copy) throw_error(system_code(-errno), what_for);
    return copy;
}

/// What its arguments have besides bytes, for a worker that may be lost with them.
parcel attachments_of(const worker_call& call) {
    parcel copy;
    copy.descriptors.reserve(call.what.arguments.descriptors.size());
    copy.references.reserve(call.held.size());
    for (const unique_fd& each : call.what.arguments.descriptors)
        copy.descriptors.push_back(duplicate(each.get(), "sending a descriptor to a worker"));
    for (const cell_ref& each : call.held) copy.references.push_back(each.share());
    return copy;
}

void share_bytes(worker_call& call) {
    if (call.shared == nullptr)
        call.shared =
            std::make_shared<const std::vector<std::byte>>(std::move(call.what.arguments.bytes));
}

process start_worker(process_pool_core& pool, std::size_t place, message_stream&& stream,
                     const cell_ref& board) {
    const process_pool_options& chosen = pool.options();
    process_options options(chosen.name + "-" + std::to_string(place + 1));
    options.daemon = true;
    options.grace = chosen.grace;
    if (const int core = pool.core_of(place); core >= 0) options.core = static_cast<unsigned>(core);
    worker_seed seed;
    seed.stream = std::move(stream);
    seed.bell = duplicate(pool.bell(), "starting a worker");
    seed.board = board;
    seed.spin = chosen.spin;
    seed.brief_spin = chosen.brief_spin;
    if (chosen.initializer) seed.initializer = chosen.initializer();
    return process::start(options, &serve_pool, std::move(seed));
}

}  // namespace

pool_worker::pool_worker(process_pool_core& of, std::size_t where)
    : pool(of),
      place(where),
      board_ref(make_cell<pool_board>(pool_board_kind)),
      board(&board_ref.body<pool_board>()),
      look_([](timer_entry& self) noexcept {
          pool_worker& worker = *static_cast<timer&>(self).of;
          worker.pool.look_at(worker);
      }),
      delay_([](timer_entry& self) noexcept {
          pool_worker& worker = *static_cast<timer&>(self).of;
          worker.pool.look_at(worker);
          worker.note_delay();
      }),
      killer_([](timer_entry& self) noexcept { static_cast<timer&>(self).of->kill_if_due(); }) {
    look_.of = this;
    delay_.of = this;
    killer_.of = this;
    message_streams ends = make_message_streams("starting a worker");
    child = start_worker(of, where, std::move(ends.other), board_ref);
    stream = std::move(ends.one);
}

pool_worker::~pool_worker() {
    pool.home().timers.disarm(look_);
    pool.home().timers.disarm(delay_);
    pool.home().timers.disarm(killer_);
}

bool pool_worker::has_room(bool for_task) const noexcept {
    if (stopping || gone || size == pool_board::slot_count) return false;
    const std::size_t most = pool.options().max_tasks_per_child;
    if (most != 0 && taken >= most) return false;
    if (for_task || plain < 2) return true;
    return plain < most_plain && plain_bytes < most_plain_bytes;
}

std::uint32_t pool_worker::take_slot() {
    if (free_slots_.empty()) {
        const std::size_t made = slots_.size();
        slots_.push_back(nullptr);
        free_slots_.reserve(slots_.capacity());  // to be given back without a throw
        return static_cast<std::uint32_t>(made);
    }
    const std::uint32_t slot = free_slots_.back();
    free_slots_.pop_back();
    return slot;
}

void pool_worker::send(worker_call& call) {
    const parcel& arguments = call.what.arguments;
    pool_order order;
    order.what = pool_order::verb::call;
    order.entry = call.what.entry;
    order.bytes = call.bytes;
    const bool apart =
        order.bytes > most_in_order || !arguments.descriptors.empty() || !call.held.empty();
    parcel attachments;
    if (apart) {  // what can fail comes first
        order.what = pool_order::verb::call_that_follows;
        attachments = attachments_of(call);
        share_bytes(call);
    }
    if (orders_.bytes.size() >= most_batch_bytes) (void)flush();
    const std::size_t needed = orders_.bytes.size() + sizeof order + (apart ? 0 : order.bytes);
    if (orders_.bytes.capacity() < needed)
        orders_.bytes.reserve(std::max(needed, 2 * orders_.bytes.capacity()));
    order.slot = call.slot = take_slot();
    order.id = call.id = pool.next_id();
    parcel_writer to(orders_);
    to.append(&order, sizeof order);
    if (!apart) to.append(arguments.bytes.data(), order.bytes);
    slots_[call.slot] = &call;
    board->place(call.slot, call.id);
    call.on = this;
    call.now = worker_call::phase::sent;
    calls.push_back(call);
    ++size;
    ++taken;
    if (!call.is_task()) {
        ++plain;
        plain_bytes += order.bytes;
    }
    if (!apart) return;
    try {
        if (flush()) (void)stream.push(std::move(attachments), call.shared);
    } catch (...) {  // no memory: it waits for what does not come
        terminate();
    }
}

bool pool_worker::flush() {
    if (orders_.bytes.empty()) return true;
    scheduler& home = pool.home();
    if (plain != 0 && !look_.armed())
        home.timers.arm(look_, saturating_add(home.now(), look_after));
    if (size != 0 && !delay_.armed())
        home.timers.arm(delay_, saturating_add(home.now(), late_after));
    return stream.push(std::exchange(orders_, parcel()));
}

void pool_worker::cancel(const worker_call& call) {
    pool_order order;
    order.what = pool_order::verb::cancel;
    order.id = call.id;
    parcel_writer to(orders_);
    to.append(&order, sizeof order);
}

void pool_worker::stop() {
    stopping = true;
    const pool_order order;
    parcel_writer to(orders_);
    to.append(&order, sizeof order);
    // Until its initializer has ended it does not listen.
    if (!board->ready()) return terminate();
    (void)flush();
}

void pool_worker::release(worker_call& call) noexcept {
    static_cast<pool_link&>(call).unlink();
    board->clear(call.slot);
    slots_[call.slot] = nullptr;
    free_slots_.push_back(call.slot);
    --size;
    if (!call.is_task()) {
        --plain;
        plain_bytes -= call.bytes;
    }
    call.on = nullptr;
}

bool pool_worker::withdraw(worker_call& call) noexcept {
    // What has begun is not sent again, be the board broken.
    if (call.begun || !board->withdraw(call.slot, call.id)) return false;
    --taken;
    release(call);
    return true;
}

worker_call* pool_worker::find(std::uint32_t slot, std::uint64_t id) const noexcept {
    if (slot >= slots_.size()) return nullptr;
    worker_call* const call = slots_[slot];
    return call != nullptr && call->id == id ? call : nullptr;
}

void pool_worker::terminate() noexcept {
    gone = true;
    const bool at_once = pool.options().grace.count() <= 0;
    try {
        child.send_signal(at_once ? SIGKILL : SIGTERM);
    } catch (...) {  // the timer tries again, harder
    }
    if (at_once) return;
    scheduler& home = pool.home();
    home.timers.arm(killer_, saturating_add(home.now(), saturated(pool.options().grace)));
}

void pool_worker::kill_unless_ended(worker_call& call) noexcept {
    scheduler& home = pool.home();
    call.kill_at = saturating_add(home.now(), saturated(pool.options().grace));
    if (!killer_.armed()) home.timers.arm(killer_, call.kill_at);
}

void pool_worker::kill_if_due() noexcept {
    time_point next = gone ? no_wait : forever;
    for (pool_link& each : calls) next = std::min(next, static_cast<worker_call&>(each).kill_at);
    if (next == forever) return;
    scheduler& home = pool.home();
    if (next > home.now()) return home.timers.arm(killer_, next);
    try {
        child.kill();
    } catch (...) {  // it cannot be: it is left to the fork server
    }
}

/// They begin in the order of sending.
bool pool_worker::calls_a_function() noexcept {
    for (pool_link& each : calls) {
        const auto& call = static_cast<worker_call&>(each);
        if (!call.is_task()) return board->has_begun(call.slot, call.id);
    }
    return false;
}

void pool_worker::note_delay() noexcept {
    if (size == 0 || stopping || gone) return;
    scheduler& home = pool.home();
    home.timers.arm(delay_, saturating_add(home.now(), late_after));
    const auto waits = [this](const worker_call* call) {
        return call != nullptr && !board->has_begun(call->slot, call->id);
    };
    // Large arguments take their time: what still goes out is no delay.
    const std::size_t output = stream.state()->out.queued_bytes();
    const bool moves = output < std::exchange(noted_output_, output);
    const worker_call* const before = find(noted_slot_, noted_);
    if (waits(before)) {
        late = !moves && board->ready() && !calls_a_function();
        return;
    }
    if (before != nullptr) late = false;  // it has begun
    const auto& youngest = static_cast<const worker_call&>(calls.back());
    noted_ = waits(&youngest) ? youngest.id : 0;
    noted_slot_ = youngest.slot;
}

bool pool_worker::has_begun() noexcept {
    if (answered) return true;
    for (pool_link& each : calls) {
        const auto& call = static_cast<worker_call&>(each);
        if (board->has_begun(call.slot, call.id)) return true;
    }
    return false;
}

}  // namespace lariat::detail
