#pragma once

#include <lariat/base/error.hpp>
#include <lariat/base/result.hpp>
#include <lariat/sync/selectable.hpp>
#include <lariat/task/wait_queue.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <memory>
#include <optional>
#include <system_error>
#include <type_traits>
#include <utility>

namespace lariat::detail {

/// What became of an item that was offered.
enum class offer : std::uint8_t { taken, closed, full, failed };

/// Where givers and takers of items meet: the one mechanism under queues and channels. `Store`
/// decides which item is next; `Words` name the waits.
///
/// Order        takers are served first come, first served, and so are givers; who comes later
///              never takes what somebody waits for
/// Threads      one loop
/// Lifetime     outlives those who wait (asserted)
/// Allocation   the store's; none for a wait
///
/// Invariant 1  takers wait only while nothing is stored, givers only while there is no room; both
///              at once only where there is no room at all, as the arms of selects
/// Invariant 2  an item is in one place: in its giver, in the store, or with its taker. It leaves
///              the one after it has arrived in the next
/// Invariant 3  once closed, nobody waits
template <class T, class Store, class Words>
class item_exchange {
 public:
    class taker;
    class giver;

    static constexpr std::size_t unbounded = std::numeric_limits<std::size_t>::max();

    explicit item_exchange(std::size_t room) noexcept(
        std::is_nothrow_default_constructible_v<Store>)
        : room_(room) {}

    [[nodiscard]] std::size_t size() const noexcept { return store_.size(); }
    [[nodiscard]] bool closed() const noexcept { return closed_; }
    /// How many items were ever accepted.
    [[nodiscard]] std::uint64_t accepted() const noexcept { return accepted_; }

    /// Hands it to the first taker, or stores it. Errors: those of T's move and of the store; it
    /// was not accepted then.
    template <class U>
    [[gnu::always_inline]] offer give(U&& item) {
        if (!takers_.empty()) {
            hand_over(std::forward<U>(item));
            return offer::taken;
        }
        if (store_.size() < room_) [[likely]] {
            store_.push(std::forward<U>(item));
            ++accepted_;
            return offer::taken;
        }
        return closed_ ? offer::closed : offer::full;
    }

    /// The next item into `place`, nothing if it is closed and drained; false if there is none yet.
    /// Errors: those of T's move; the item stays where it was.
    [[gnu::always_inline]] bool take(std::optional<T>& place) {
        if (store_.size() == 0) [[unlikely]]
            return take_from_giver(place);
        store_.pop_into(place);
        if (!givers_.empty()) refill();
        return true;
    }

    /// Takers get what is stored and then nothing; givers, those that wait too, are refused.
    void close() noexcept {
        closed_ = true;
        room_ = 0;
        while (!takers_.empty()) {
            taker& first = static_cast<taker&>(takers_.front());
            first.item_.reset();
            first.unlink();
            grant(first);
        }
        while (!givers_.empty()) static_cast<giver&>(givers_.front()).end(offer::closed);
    }

 private:
    // Out of line: what every put and get has inlined is the way without a switch.
    template <class U>
    [[gnu::noinline]] void hand_over(U&& item) {
        taker& first = static_cast<taker&>(takers_.front());
        first.item_.emplace(std::forward<U>(item));
        ++accepted_;
        first.unlink();
        grant(first);
    }

    /// Nothing is stored: an item may still come from where there is no room at all.
    [[gnu::noinline]] bool take_from_giver(std::optional<T>& place) {
        if (givers_.empty()) {
            place.reset();
            return closed_;
        }
        giver& first = static_cast<giver&>(givers_.front());
        place.emplace(std::move(first.item_));
        ++accepted_;
        first.end(offer::taken);
        return true;
    }

    /// An item has gone: givers in line put theirs in its place. What goes wrong there, an
    /// allocation or a comparison, is that giver's error.
    [[gnu::noinline]] void refill() noexcept {
        while (!givers_.empty() && store_.size() < room_) {
            giver& first = static_cast<giver&>(givers_.front());
            try {
                store_.push(std::move(first.item_));
                ++accepted_;
                first.end(offer::taken);
            } catch (...) {
                first.fail(std::current_exception());
            }
        }
    }

    Store store_;
    std::size_t room_;
    std::uint64_t accepted_ = 0;
    wait_queue takers_;
    wait_queue givers_;
    bool closed_ = false;
};

/// Waits for an item: an awaiter, and an arm of a select.
template <class T, class Store, class Words>
class [[nodiscard(
    "it takes nothing until it is awaited: co_await it")]] item_exchange<T, Store, Words>::taker
    : public selectable_wait<taker> {
 public:
    static constexpr const wait_kind& kind_of_wait = Words::take;

    explicit taker(item_exchange& from) noexcept : from_(&from) {}

    [[nodiscard, gnu::always_inline]] bool attempt() { return from_->take(item_); }
    void join_line() noexcept { from_->takers_.add(*this); }
    [[nodiscard]] std::optional<T> result() { return std::move(item_); }

 private:
    friend item_exchange;

    item_exchange* from_;
    std::optional<T> item_;
};

/// Holds an item until it is accepted: an awaiter, and an arm of a select. One that was named, and
/// awaited in a timeout, nothrow or select, keeps an item that nobody took. (GCC 12 copies what is
/// named and awaited alone, and so refuses it.)
template <class T, class Store, class Words>
class [[nodiscard(
    "it gives nothing until it is awaited: co_await it")]] item_exchange<T, Store, Words>::giver
    : public selectable_wait<giver> {
 public:
    static constexpr const wait_kind& kind_of_wait = Words::give;

    template <class U>
    giver(item_exchange& to, U&& item) : to_(&to), item_(std::forward<U>(item)) {}
    giver(giver&& other) noexcept(std::is_nothrow_move_constructible_v<T>)
        : selectable_wait<giver>(std::move(other)), to_(other.to_), item_(std::move(other.item_)) {}
    ~giver() {
        if (ending_ == offer::failed) std::destroy_at(&failure_);
    }

    [[nodiscard, gnu::always_inline]] bool attempt() {
        ending_ = to_->give(std::move(item_));
        return ending_ != offer::full;
    }
    void join_line() noexcept { to_->givers_.add(*this); }
    void result() {
        if (ending_ != offer::taken) [[unlikely]]
            throw_error(refusal(), Words::give_verb);
    }
    /// For nothrow(). Errors: errc::closed.
    [[nodiscard]] lariat::result<void> finish_nothrow() {
        this->throw_if_cut();
        if (ending_ != offer::taken) [[unlikely]]
            return refusal();
        return {};
    }

    /// What was to be given, while it was not.
    [[nodiscard]] T& item() noexcept { return item_; }

 private:
    friend item_exchange;

    /// Pre: waits in its line.
    void end(offer how) noexcept {
        ending_ = how;
        this->unlink();
        grant(*this);
    }
    void fail(std::exception_ptr why) noexcept {
        std::construct_at(&failure_, std::move(why));
        end(offer::failed);
    }
    /// Errors: what went wrong when its item was to be stored.
    [[nodiscard]] std::error_code refusal() {
        if (ending_ == offer::failed) {
            const std::exception_ptr why = std::move(failure_);
            std::destroy_at(&failure_);
            ending_ = offer::full;
            std::rethrow_exception(why);
        }
        return make_error_code(errc::closed);
    }

    item_exchange* to_;
    T item_;
    union {
        std::exception_ptr failure_;  // while ending_ says `failed`: no put pays for it before
    };
    offer ending_ = offer::full;
};

}  // namespace lariat::detail
