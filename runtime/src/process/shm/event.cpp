#include <lariat/process/shm/event.hpp>

#include <lariat/process/transaction.hpp>
#include <lariat/sync/shared/waiting.hpp>

#include <limits>

namespace lariat {

namespace detail {

namespace {

constexpr int all = std::numeric_limits<int>::max();

// Who died may have set it and not yet woken those who wait. 0: nobody has ever waited or set it.
constexpr cell_kind kind{"shm::event", nullptr, +[](void* body, owner_id) noexcept {
                             auto& word = static_cast<event_body*>(body)->word;
                             if (word.load(std::memory_order_seq_cst) != 0)
                                 (void)futex_wake(word, all);
                         }};

}  // namespace

void event_body::set() noexcept {
    std::uint32_t now = word.load(std::memory_order_relaxed);
    for (;;) {
        // Not a mere look if it is set already: that could still see the flag as it was before a
        // clear() whose caller then looks, in vain, for what was done before this call.
        const std::uint32_t next = (now & is_set) != 0 ? now : ((now + once) | is_set) & ~may_sleep;
        if (word.compare_exchange_weak(now, next, std::memory_order_acq_rel,
                                       std::memory_order_relaxed))
            break;
    }
    step();
    if ((now & may_sleep) != 0) (void)futex_wake(word, all);
    step();
}

futex_step event_body::attempt(std::optional<std::uint32_t>& since) noexcept {
    std::uint32_t now = word.load(std::memory_order_acquire);
    for (;;) {
        const std::uint32_t count = now & ~(is_set | may_sleep);
        if (!since) since = count;
        if ((now & is_set) != 0 || *since != count) return futex_step::done();
        if ((now & may_sleep) != 0 ||
            word.compare_exchange_weak(now, now | may_sleep, std::memory_order_acquire))
            break;
    }
    step();
    return futex_step::wait(word, now | may_sleep);
}

}  // namespace detail

namespace shm {

event::event() : handle_(detail::make_cell<detail::event_body>(detail::kind)) {}

event event::unpack_from(detail::parcel_reader& from) {
    return event(
        detail::shared_handle<detail::event_body>::unpack(from, detail::kind, typeid(event)));
}

bool event::wait_until(time_point deadline) const noexcept {
    detail::event_body& body = *handle_;
    std::optional<std::uint32_t> since;
    return detail::futex_block([&] { return body.attempt(since); }, deadline);
}

void event::wait_blocking(std::source_location where) const {
    detail::require_no_loop("wait_blocking", "co_await x.wait()", where);
    (void)wait_until(forever);
}

bool event::wait_blocking(duration longest, std::source_location where) const {
    detail::require_no_loop("wait_blocking", "co_await lariat::timeout(t, x.wait())", where);
    return wait_until(detail::deadline_after(longest));
}

}  // namespace shm

}  // namespace lariat
