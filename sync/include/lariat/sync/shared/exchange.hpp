#pragma once

#include <lariat/base/error.hpp>
#include <lariat/base/result.hpp>
#include <lariat/sync/item_exchange.hpp>
#include <lariat/sync/shared/line.hpp>
#include <lariat/sync/shared/short_lock.hpp>
#include <lariat/sync/shared/waiting.hpp>
#include <lariat/task/promise.hpp>

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <optional>
#include <type_traits>
#include <utility>

namespace lariat::detail {

/// Where givers and takers of items on several threads meet: what item_exchange is on one loop.
/// `Store` decides which item is next.
///
/// Order        takers are served first come, first served, and so are givers, tasks and threads
///              alike; who comes later never takes what somebody waits for
/// Threads      any
/// Lifetime     outlives those who wait (asserted)
/// Allocation   the store's, under the lock; none for a wait
/// Limits       an item's move may not throw; nor may a comparison, if the store compares
///
/// Invariants   those of item_exchange: takers wait only while nothing is stored, givers only while
///              there is no room; an item is in one place; once closed, nobody waits
template <class T, class Store>
class shared_exchange {
    static_assert(std::is_object_v<T> && std::is_nothrow_move_constructible_v<T>,
                  "what is handed between threads is an object whose move cannot throw: a "
                  "unique_ptr to it can be handed over if it is not");

 public:
    using item_type = T;

    /// One who waits for an item.
    struct taker : shared_place {
        explicit taker(teller how) noexcept : shared_place(how) {}
        taker(teller how, taker&& other) noexcept : shared_place(how, other) {}
        std::optional<T> item;
    };
    /// One who waits for room. What it offers stays where it is until it is accepted.
    struct giver : shared_place {
        explicit giver(teller how) noexcept : shared_place(how) {}
        giver(teller how, giver&& other) noexcept : shared_place(how, other) {}
        T* offered = nullptr;
        offer ending = offer::full;
        std::exception_ptr failure;
    };

    explicit shared_exchange(std::size_t room) noexcept(
        std::is_nothrow_default_constructible_v<Store>)
        : room_(room) {}

    /// Hands it to the first taker, or stores it; else the giver, if there is one, waits in line.
    /// Errors: those of the store, so std::bad_alloc; it was not accepted then.
    offer give(T& item, giver* waits) {
        served_places served;
        const std::lock_guard held(lock_);
        if (!takers_.empty()) {
            taker& first = takers_.serve_first();
            first.item.emplace(std::move(item));
            served.add(first);
        } else if (store_.size() < room_) {
            store_.push(std::move(item));
        } else if (closed_) {
            return offer::closed;
        } else {
            if (waits != nullptr) {
                waits->offered = &item;
                givers_.add(*waits);
            }
            return offer::full;
        }
        ++accepted_;
        return offer::taken;
    }

    /// The next item into `place`, nothing if it is closed and drained. False if there is none yet:
    /// then the taker, if there is one, waits in line.
    bool take(std::optional<T>& place, taker* waits) {
        served_places served;
        const std::lock_guard held(lock_);
        if (store_.size() != 0) {
            store_.pop_into(place);
            if (!givers_.empty()) refill(served);
            return true;
        }
        if (!givers_.empty()) {  // there is no room at all
            giver& first = givers_.serve_first();
            place.emplace(std::move(*first.offered));
            accept(first, served);
            return true;
        }
        place.reset();
        if (closed_) return true;
        if (waits != nullptr) takers_.add(*waits);
        return false;
    }

    /// Takers get what is stored and then nothing; givers, those that wait too, are refused.
    void close() noexcept {
        served_places served;
        const std::lock_guard held(lock_);
        closed_ = true;
        room_ = 0;
        while (!takers_.empty()) served.add(takers_.serve_first());
        while (!givers_.empty()) {
            giver& first = givers_.serve_first();
            first.ending = offer::closed;
            served.add(first);
        }
    }

    [[nodiscard]] bool leave(shared_place& place) noexcept {
        const std::lock_guard held(lock_);
        return shared_line<>::leave(place);
    }
    [[nodiscard]] std::size_t size() const noexcept {
        const std::lock_guard held(lock_);
        return store_.size();
    }
    [[nodiscard]] bool closed() const noexcept {
        const std::lock_guard held(lock_);
        return closed_;
    }

 protected:
    mutable short_lock lock_;
    Store store_;
    std::uint64_t accepted_ = 0;  // items, ever

 private:
    void accept(giver& first, served_places& served) noexcept {
        first.ending = offer::taken;
        ++accepted_;
        served.add(first);
    }
    /// An item has gone: givers in line put theirs in its place. What goes wrong in the store is
    /// that giver's error.
    void refill(served_places& served) noexcept {
        while (!givers_.empty() && store_.size() < room_) {
            giver& first = givers_.serve_first();
            try {
                store_.push(std::move(*first.offered));
                accept(first, served);
            } catch (...) {
                first.failure = std::current_exception();
                served.add(first);
            }
        }
    }

    std::size_t room_;
    shared_line<taker> takers_;
    shared_line<giver> givers_;
    bool closed_ = false;
};

/// What a giver's wait came to. Errors: errc::closed.
[[nodiscard]] inline result<void> result_of_offer(offer ending, std::exception_ptr& failure) {
    if (failure) [[unlikely]]
        std::rethrow_exception(std::exchange(failure, nullptr));
    if (ending == offer::closed) return make_error_code(errc::closed);
    return {};
}

/// A task's wait for an item. `Words` name the waits.
template <class Exchange, class Words>
class [[nodiscard("it takes nothing until it is awaited: co_await it")]] shared_take
    : public task_in_line<typename Exchange::taker>,
      public single_step {
 public:
    explicit shared_take(Exchange& from) noexcept
        : task_in_line<typename Exchange::taker>(kind_of_wait), from_(&from) {}

    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) {
        party& p = party_of(frame);
        this->set_out();
        if (from_->take(this->item, this)) return this->pass(p, frame);
        this->park(p, frame);
        return true;
    }
    [[nodiscard]] std::optional<typename Exchange::item_type> await_resume() {
        this->throw_if_cut();
        return std::exchange(this->item, std::nullopt);
    }

 private:
    static void cut(waiter& w) noexcept {
        auto& self = static_cast<shared_take&>(w);
        if (self.from_->leave(self)) self.wake(wake_reason::cut);
    }
    static constexpr wait_kind kind_of_wait{Words::take, &cut};

    Exchange* from_;
};

/// A task's wait for room; it holds the item. One that was named keeps an item that nobody took.
template <class Exchange, class Words>
class [[nodiscard("it gives nothing until it is awaited: co_await it")]] shared_give
    : public task_in_line<typename Exchange::giver>,
      public single_step {
    using item_type = typename Exchange::item_type;

 public:
    template <class U>
    shared_give(Exchange& to, U&& offering)
        : task_in_line<typename Exchange::giver>(kind_of_wait),
          to_(&to),
          item_(std::forward<U>(offering)) {}

    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) {
        party& p = party_of(frame);
        this->set_out();
        const offer now = to_->give(item_, this);
        if (now == offer::full) {
            this->park(p, frame);
            return true;
        }
        this->ending = now;
        return this->pass(p, frame);
    }
    void await_resume() { finish_nothrow().value(Words::give_verb); }
    /// For nothrow(). Errors: errc::closed.
    [[nodiscard]] result<void> finish_nothrow() {
        this->throw_if_cut();
        return result_of_offer(this->ending, this->failure);
    }
    /// What was to be given, while it was not.
    [[nodiscard]] item_type& item() noexcept { return item_; }

 private:
    static void cut(waiter& w) noexcept {
        auto& self = static_cast<shared_give&>(w);
        if (self.to_->leave(self)) self.wake(wake_reason::cut);
    }
    static constexpr wait_kind kind_of_wait{Words::give, &cut};

    Exchange* to_;
    item_type item_;
};

/// The same for a thread without a loop. Errors: errc::timed_out, errc::closed.
template <class T, class Store>
[[nodiscard]] result<T> take_blocking(shared_exchange<T, Store>& from, time_point deadline) {
    using taker = typename shared_exchange<T, Store>::taker;
    thread_in_line<taker> self;
    if (!from.take(self.item, &self)) {
        if (!self.wait(deadline, [&from](taker& place) { return from.leave(place); }))
            return make_error_code(errc::timed_out);
    }
    if (!self.item) return make_error_code(errc::closed);
    return *std::move(self.item);
}
template <class T, class Store>
[[nodiscard]] result<void> give_blocking(shared_exchange<T, Store>& to, T& item,
                                         time_point deadline) {
    using giver = typename shared_exchange<T, Store>::giver;
    thread_in_line<giver> self;
    const offer now = to.give(item, &self);
    if (now != offer::full) {
        self.ending = now;
    } else if (!self.wait(deadline, [&to](giver& place) { return to.leave(place); })) {
        return make_error_code(errc::timed_out);
    }
    return result_of_offer(self.ending, self.failure);
}
/// False if nobody took it for so long. Errors: closed_error.
template <class T, class Store>
[[nodiscard]] bool given_in_time(shared_exchange<T, Store>& to, T& item, duration longest,
                                 const char* verb) {
    result<void> given = give_blocking(to, item, deadline_after(longest));
    if (given.error() == errc::timed_out) return false;
    given.value(verb);
    return true;
}

/// Calls give(T&) with an item to move from. What is none is made one first, outside of the lock.
template <class T, class U, class Give>
auto with_item(U&& item, Give give) {
    if constexpr (std::same_as<U, T>) {
        return give(item);
    } else {
        T own(std::forward<U>(item));
        return give(own);
    }
}

}  // namespace lariat::detail
