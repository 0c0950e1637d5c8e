#pragma once

#include <lariat/base/clock.hpp>
#include <lariat/base/error.hpp>
#include <lariat/base/result.hpp>
#include <lariat/loop/futex.hpp>
#include <lariat/process/family.hpp>
#include <lariat/process/shm/queue_core.hpp>
#include <lariat/process/shm/queue_item.hpp>
#include <lariat/process/shm/shared_handle.hpp>
#include <lariat/process/wire.hpp>
#include <lariat/sync/queue.hpp>
#include <lariat/sync/shared/waiting.hpp>
#include <lariat/task/promise.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <source_location>
#include <system_error>
#include <utility>

namespace lariat::shm {

/// What has passed through a queue. Items whose taker ended before it had said task_done() are
/// `lost`: they are not `unfinished` any more.
struct queue_stats : lariat::queue_stats {
    std::uint64_t lost = 0;
};

/// Hands items between the processes of a family, the oldest first: many that put, many that get.
///
///     lariat::shm::queue<job> jobs(100);
///     auto worker = lariat::process::start(work, jobs);   // a handle: copies name the same queue
///     co_await jobs.put(next);                            // in a task of any process
///     while (auto job = co_await jobs.get()) { ... }      // in another; ends after jobs.close()
///
/// Order        items: as they were put. Who waits: any may be first, and who comes meanwhile may
///              overtake; nobody is forgotten, also when others are cancelled or killed
/// Threads      any, of any process; of one handle: distinct objects
/// Lifetime     a handle that is waited with outlives the wait (the queue does, too). It goes with
///              the last handle or message that names it, and its items with it
/// Allocation   the ring, when it is made: max, rounded up to a power of two, times the slot. An
///              item that is its bytes, of up to 1,024, is copied there and back; others are packed
///              (an allocation each way). What is larger than a slot, or brings handles, is put in
///              shared memory of its own
/// Limits       1 to 16,777,216 items; a put then waits. An item has 64 MiB at most: more is a
///              limit_error. No descriptors: a pipe carries those. Copies of up to a slot (16 KiB)
///              are made under a lock
///
/// A process that is killed leaves the queue usable: what it was putting is there whole or not at
/// all, and what it had taken is gone with it, nothing else. No item comes twice. A task's
/// cancelled get has taken nothing, a cancelled put has put nothing; one that had succeeded before
/// stands.
///
/// Who waits is woken for an item, and takes it when it runs: while it computes, or is stopped
/// (SIGSTOP), the item lies there for whoever comes, but others that wait already are not woken
/// for it until that process goes on or ends.
template <class T>
class queue {
    static_assert(detail::explain<T>::transferable());

 public:
    using value_type = T;
    class get_wait;
    class put_wait;
    class join_wait;

    /// A new one. `item_bytes` is what a slot has room for, from 8 to 16,384, unless the items are
    /// their bytes. Errors: std::invalid_argument; std::system_error (ENOMEM) when the family's
    /// shared memory is used up; std::logic_error without a family.
    explicit queue(std::size_t max, std::size_t item_bytes = 248)
        : body_(detail::make_queue(detail::queue_shape<T>(max, item_bytes))) {}

    /// Suspends while the queue is full · Errors: closed_error, also when it is closed meanwhile
    /// (errc::closed through nothrow); what packing throws, at once · Cancel: nothing was put ·
    /// Cost: a short lock, and a system call if somebody waits for an item.
    template <class U = T>
        requires std::convertible_to<U&&, T>
    [[nodiscard]] put_wait put(U&& item) {
        return put_wait(*body_, detail::as_item<T>(std::forward<U>(item)));
    }
    /// Suspends while the queue is empty · Returns an optional: empty when it is closed and drained
    /// · Errors: what unpacking throws; that item is gone · Cancel: nothing was taken · Cost: as
    /// put's.
    [[nodiscard]] get_wait get() { return get_wait(*body_); }

    /// For threads without a loop, which sleep meanwhile. Errors: as put's. With a time: false if
    /// there was no room for so long.
    template <class U = T>
        requires std::convertible_to<U&&, T>
    void put_blocking(U&& item, std::source_location where = std::source_location::current()) {
        detail::require_no_loop("put_blocking", "co_await x.put(item)", where);
        (void)put_until(detail::as_item<T>(std::forward<U>(item)), forever);
    }
    template <class U = T>
        requires std::convertible_to<U&&, T>
    [[nodiscard]] bool put_blocking(U&& item, duration longest,
                                    std::source_location where = std::source_location::current()) {
        detail::require_no_loop("put_blocking", "co_await lariat::timeout(t, x.put(item))", where);
        return put_until(detail::as_item<T>(std::forward<U>(item)),
                         detail::deadline_after(longest));
    }
    /// Returns an optional, as get(). With a time: errc::timed_out if no item came for so long,
    /// errc::closed if it is closed and drained.
    [[nodiscard]] std::optional<T> get_blocking(
        std::source_location where = std::source_location::current()) {
        detail::require_no_loop("get_blocking", "co_await x.get()", where);
        result<T> got = get_until(forever);
        return got ? std::optional<T>(*std::move(got)) : std::nullopt;
    }
    [[nodiscard]] result<T> get_blocking(
        duration longest, std::source_location where = std::source_location::current()) {
        detail::require_no_loop("get_blocking", "co_await lariat::timeout(t, x.get())", where);
        return get_until(detail::deadline_after(longest));
    }

    /// Errors: queue_full, closed_error, and what packing throws.
    template <class U = T>
        requires std::convertible_to<U&&, T>
    void put_nowait(U&& item) {
        const detail::queue_turn ended = offer(std::forward<U>(item));
        if (ended == detail::queue_turn::later) throw queue_full("shm::queue.put_nowait");
        if (ended == detail::queue_turn::closed) throw closed_error("shm::queue.put_nowait");
    }
    /// Errors: queue_empty; closed_error if it is closed and drained.
    T get_nowait() {
        detail::queue_landing<T> place(*body_);
        const detail::queue_turn ended = body_->take(place.reset(), nullptr);
        if (ended == detail::queue_turn::later) throw queue_empty("shm::queue.get_nowait");
        if (ended == detail::queue_turn::closed) throw closed_error("shm::queue.get_nowait");
        return place.item();
    }
    /// False when the queue is full or closed. An item that can be copied is left as it was.
    template <class U = T>
        requires std::convertible_to<U&&, T>
    [[nodiscard]] bool try_put(U&& item) {
        return offer(std::forward<U>(item)) == detail::queue_turn::done;
    }
    /// Empty when there is no item.
    [[nodiscard]] std::optional<T> try_get() {
        detail::queue_landing<T> place(*body_);
        if (body_->take(place.reset(), nullptr) != detail::queue_turn::done) return std::nullopt;
        return place.item();
    }

    /// Says that one item is done with that this process has taken; when all that were put are,
    /// join() returns. What a process had taken and not done when it ended, killed or not, counts
    /// as done: join() does not wait for the dead. Errors: std::logic_error if it is called more
    /// often than this process has taken items.
    void task_done() {
        if (!body_->task_done()) detail::throw_not_taken();
    }
    /// Suspends until every item that was put is done with. close() changes nothing about it.
    [[nodiscard]] join_wait join() { return join_wait(*body_); }
    /// For threads without a loop. With a time: false if that was not so for so long.
    void join_blocking(std::source_location where = std::source_location::current()) {
        detail::require_no_loop("join_blocking", "co_await x.join()", where);
        (void)join_until(forever);
    }
    [[nodiscard]] bool join_blocking(duration longest,
                                     std::source_location where = std::source_location::current()) {
        detail::require_no_loop("join_blocking", "co_await lariat::timeout(t, x.join())", where);
        return join_until(detail::deadline_after(longest));
    }

    /// No more puts: those that wait and those that come get closed_error. Getters drain what is
    /// left, then get an empty optional. Closing it again does nothing.
    void close() { body_->close(); }
    [[nodiscard]] bool closed() const { return body_->is_closed(); }

    /// These tell what was so an instant ago: others may have put and taken since.
    [[nodiscard]] std::size_t size() const { return body_->size(); }
    [[nodiscard]] bool empty() const { return size() == 0; }
    [[nodiscard]] bool full() const { return size() == capacity(); }
    [[nodiscard]] std::size_t capacity() const { return body_->of.max; }
    [[nodiscard]] queue_stats stats() const {
        queue_stats now;
        now.lost = body_->lost.load(std::memory_order_acquire);
        const std::uint64_t finished = body_->finished();
        now.taken = body_->head.load(std::memory_order_acquire);
        now.put = body_->tail.load(std::memory_order_acquire);
        now.size = static_cast<std::size_t>(now.put - now.taken);
        now.capacity = capacity();
        now.unfinished = now.put - finished;
        return now;
    }
    /// Whether both name the same queue.
    [[nodiscard]] bool operator==(const queue& other) const noexcept = default;

    /// Library use: how handles travel.
    void pack_into(detail::parcel_writer& to) const { body_.pack_into(to); }
    [[nodiscard]] static queue unpack_from(detail::parcel_reader& from) {
        auto arrived =
            detail::shared_handle<detail::queue_body>::unpack(from, detail::queue_kind, typeid(T));
        const std::type_info* const others = arrived->of.type.get();
        if (others == nullptr) detail::throw_other_items(typeid(T), typeid(void));
        if (*others != typeid(T)) detail::throw_other_items(typeid(T), *others);
        return queue(std::move(arrived));
    }

 private:
    explicit queue(detail::shared_handle<detail::queue_body> body) noexcept
        : body_(std::move(body)) {}

    template <class U>
    [[nodiscard]] detail::queue_turn offer(U&& item) {
        // Nothing is packed for a queue that has no room anyway.
        if (closed()) return detail::queue_turn::closed;
        if (full()) return detail::queue_turn::later;
        detail::queue_cargo<T> cargo(*body_, detail::as_item<T>(std::forward<U>(item)));
        return cargo.give(*body_, nullptr);
    }
    template <class U>
    [[nodiscard]] bool put_until(U&& item, time_point deadline) {
        detail::queue_cargo<T> cargo(*body_, std::forward<U>(item));
        detail::queue_turn ended = detail::queue_turn::later;
        const bool in_time = detail::futex_block(
            [&] {
                std::uint32_t value = 0;
                ended = cargo.give(*body_, &value);
                return ended == detail::queue_turn::later ? body_->room.wait(value)
                                                          : detail::futex_step::done();
            },
            deadline);
        if (ended == detail::queue_turn::closed) throw closed_error("shm::queue.put");
        return in_time;
    }
    [[nodiscard]] result<T> get_until(time_point deadline) {
        detail::queue_landing<T> place(*body_);
        detail::queue_turn ended = detail::queue_turn::later;
        const bool in_time = detail::futex_block(
            [&] {
                std::uint32_t value = 0;
                ended = body_->take(place.reset(), &value);
                return ended == detail::queue_turn::later ? body_->items.wait(value)
                                                          : detail::futex_step::done();
            },
            deadline);
        if (!in_time) return make_error_code(errc::timed_out);
        if (ended == detail::queue_turn::closed) return make_error_code(errc::closed);
        return place.item();
    }
    [[nodiscard]] bool join_until(time_point deadline) {
        return detail::futex_block([this] { return join_wait::look(*body_); }, deadline);
    }

    detail::shared_handle<detail::queue_body> body_;
};

/// A task's wait for an item.
template <class T>
class [[nodiscard("it does nothing until it is awaited: co_await it")]] queue<T>::get_wait
    : public detail::futex_verb<get_wait>,
      public single_step {
 public:
    explicit get_wait(detail::queue_body& from)
        : detail::futex_verb<get_wait>(kind_of_wait), from_(&from), place_(from) {}

    detail::futex_step attempt() noexcept {
        std::uint32_t value = 0;
        ended_ = from_->take(place_.reset(), &value);
        return ended_ == detail::queue_turn::later ? from_->items.wait(value)
                                                   : detail::futex_step::done();
    }
    void passed_on() noexcept { from_->items.pass_on(); }
    [[nodiscard]] std::optional<T> await_resume() {
        this->finish();
        if (ended_ == detail::queue_turn::closed) return std::nullopt;
        return place_.item();
    }

    static constexpr wait_kind kind_of_wait{"an item of a shm::queue",
                                            &detail::futex_wait_point::leave};

 private:
    detail::queue_body* from_;
    detail::queue_landing<T> place_;
    detail::queue_turn ended_ = detail::queue_turn::later;
};

/// A task's wait for room; it holds the packed item.
template <class T>
class [[nodiscard("it puts nothing until it is awaited: co_await it")]] queue<T>::put_wait
    : public detail::futex_verb<put_wait>,
      public single_step {
 public:
    template <class U>
    put_wait(detail::queue_body& to, U&& item)
        : detail::futex_verb<put_wait>(kind_of_wait), to_(&to), cargo_(to, std::forward<U>(item)) {}

    detail::futex_step attempt() noexcept {
        std::uint32_t value = 0;
        ended_ = cargo_.give(*to_, &value);
        return ended_ == detail::queue_turn::later ? to_->room.wait(value)
                                                   : detail::futex_step::done();
    }
    void passed_on() noexcept { to_->room.pass_on(); }
    void await_resume() { finish_nothrow().value("shm::queue.put"); }
    /// For nothrow(). Errors: errc::closed.
    [[nodiscard]] result<void> finish_nothrow() {
        this->finish();
        if (ended_ == detail::queue_turn::closed) return make_error_code(errc::closed);
        return {};
    }

    static constexpr wait_kind kind_of_wait{"room in a shm::queue",
                                            &detail::futex_wait_point::leave};

 private:
    detail::queue_body* to_;
    detail::queue_cargo<T> cargo_;
    detail::queue_turn ended_ = detail::queue_turn::later;
};

/// A task's wait until all items are done with.
template <class T>
class [[nodiscard("it does nothing until it is awaited: co_await it")]] queue<T>::join_wait
    : public detail::futex_verb<join_wait>,
      public single_step {
 public:
    explicit join_wait(detail::queue_body& which) noexcept
        : detail::futex_verb<join_wait>(kind_of_wait), which_(&which) {}

    detail::futex_step attempt() noexcept { return look(*which_); }
    void passed_on() noexcept { which_->joiners.pass_on(); }
    void await_resume() const { this->finish(); }

    [[nodiscard]] static detail::futex_step look(detail::queue_body& body) noexcept {
        std::uint32_t value = 0;
        const bool done = body.all_done(&value) == detail::queue_turn::done;
        return done ? detail::futex_step::done() : body.joiners.wait(value);
    }

    static constexpr wait_kind kind_of_wait{"a shm::queue's items to be done",
                                            &detail::futex_wait_point::leave};

 private:
    detail::queue_body* which_;
};

}  // namespace lariat::shm
