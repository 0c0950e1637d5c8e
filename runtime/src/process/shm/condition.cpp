#include <lariat/process/shm/condition.hpp>

#include <lariat/process/transaction.hpp>

#include <algorithm>

namespace lariat {

namespace detail {

namespace {

// Who gives its last handle back may have been notified and have done nothing about it yet: if it
// ends like that, those who wait shall look again.
constexpr cell_kind kind{
    "shm::condition", nullptr,
    +[](void* body, owner_id) noexcept { static_cast<condition_body*>(body)->sweep(); },
    +[](void* body, owner_id) noexcept {
        return static_cast<condition_body*>(body)->is_awaited();
    }};

}  // namespace

std::uint64_t condition_body::draw() noexcept {
    return drawn.fetch_add(1, std::memory_order_seq_cst) + 1;
}

futex_step condition_body::attempt(std::uint64_t ticket) noexcept {
    if (called.load(std::memory_order_seq_cst) >= ticket) return futex_step::done();
    wait_word& lane = lane_of(ticket);
    const std::uint32_t value = lane.prepare();
    step();
    // Again: who called it up between the look and prepare() saw nobody to wake.
    if (called.load(std::memory_order_seq_cst) >= ticket) return futex_step::done();
    return lane.wait(value);
}

bool condition_body::leave(std::uint64_t ticket) noexcept {
    std::uint64_t before = called.load(std::memory_order_seq_cst);
    do {
        if (before >= ticket) return false;
    } while (!called.compare_exchange_weak(before, ticket, std::memory_order_seq_cst));
    step();
    wake_lanes(before, ticket - 1);
    return true;
}

void condition_body::notify(std::uint64_t count) noexcept {
    std::uint64_t before = called.load(std::memory_order_seq_cst);
    std::uint64_t after = 0;
    do {
        const std::uint64_t all = drawn.load(std::memory_order_seq_cst);
        if (before >= all) return;
        after = before + std::min(count, all - before);
    } while (!called.compare_exchange_weak(before, after, std::memory_order_seq_cst));
    step();
    wake_lanes(before, after);
}

void condition_body::wake_lanes(std::uint64_t after, std::uint64_t up_to) noexcept {
    const std::uint64_t lanes_passed = std::min<std::uint64_t>(up_to - after, lane_count);
    for (std::uint64_t i = 1; i <= lanes_passed; ++i) {
        wait_word& lane = lane_of(after + i);
        if (lane.bump()) lane.wake_all();
    }
}

void condition_body::sweep() noexcept {
    std::uint64_t before = called.load(std::memory_order_seq_cst);
    std::uint64_t all = drawn.load(std::memory_order_seq_cst);
    while (before < all && !called.compare_exchange_weak(before, all, std::memory_order_seq_cst)) {
    }
    for (wait_word& lane : lanes) lane.sweep();
}

const wait_kind condition_wait::kind_of_wait{"a shm::condition to be notified",
                                             &condition_wait::leave};
// It was notified, or cut once already: nothing but the lock ends this.
const wait_kind condition_wait::kind_of_relock{"the lock of a shm::condition, to go on",
                                               [](waiter&) noexcept {}};

void condition_wait::wait_for_lock() noexcept {
    notified_ = true;
    set_kind(kind_of_relock);
}

bool condition_wait::go_on() noexcept {
    for (;;) {
        const futex_step next = notified_ ? relock_(*this) : body_->attempt(ticket_);
        if (next.is_done()) {
            if (notified_) return false;
            wait_for_lock();
            continue;
        }
        const auto over = start(next.word(), next.value());
        if (!over) return true;
        if (*over != futex_end::failed) continue;
        failed();
        if (lost_) return false;
    }
}

/// No thread to wait with: it ends its wait, and if it was for the lock, without the lock.
void condition_wait::failed() noexcept {
    failure_ = error();
    if (notified_) {
        lost_ = true;
    } else {
        (void)body_->leave(ticket_);
        wait_for_lock();
    }
}

void condition_wait::ended(futex_watch& watch, futex_end how) noexcept {
    auto& self = static_cast<condition_wait&>(watch);
    if (how == futex_end::failed) {
        self.failed();
    } else if (self.cut_asked_ && !self.notified_) {
        self.cut_ = self.body_->leave(self.ticket_);
        self.wait_for_lock();
    }
    if (self.lost_ || !self.go_on()) self.wake();
}

void condition_wait::leave(waiter& w) noexcept {
    auto& self = static_cast<condition_wait&>(static_cast<wait_point&>(w));
    self.cut_asked_ = true;
    self.cancel();
}

void condition_wait::finish() const {
    if (cut_) [[unlikely]]
        throw_cancelled();
    if (failure_) [[unlikely]]
        throw_error(failure_, "waiting for shared memory: no helper thread can be started");
}

}  // namespace detail

namespace shm {

condition::condition() : handle_(detail::make_cell<detail::condition_body>(detail::kind)) {}

condition condition::unpack_from(detail::parcel_reader& from) {
    return condition(detail::shared_handle<detail::condition_body>::unpack(from, detail::kind,
                                                                           typeid(condition)));
}

}  // namespace shm

}  // namespace lariat
