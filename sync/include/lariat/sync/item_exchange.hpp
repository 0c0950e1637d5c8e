#pragma once

#include <lariat/base/error.hpp>
#include <lariat/base/marked_pointer.hpp>
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
    [[nodiscard]] std::uint64_t accepted() const noexcept { return passed_ + store_.pushed(); }

    /// Hands it to the first taker, or stores it. Errors: those of T's move and of the store; it
    /// was not accepted then.
    template <class U>
    [[gnu::always_inline]] offer give(U&& item) {
        if (!store_.push_runs()) [[unlikely]]
            return give_anew(std::forward<U>(item));
        store_.push_in_run(std::forward<U>(item));
        return offer::taken;
    }

    /// The next item into `place`, nothing if it is closed and drained; false if there is none yet.
    /// Errors: those of T's move; the item stays where it was.
    template <class Place>
    [[gnu::always_inline]] bool take(Place& place) {
        if (!store_.pop_runs()) [[unlikely]]
            return take_anew(place);
        store_.pop_in_run(place);
        return true;
    }

    /// Takers get what is stored and then nothing; givers, those that wait too, are refused.
    void close() noexcept {
        closed_ = true;
        room_ = 0;
        store_.end_push_run();
        while (!takers_.empty()) {
            taker& first = static_cast<taker&>(takers_.front());
            first.reset();
            first.unlink();
            grant(first);
        }
        while (!givers_.empty()) static_cast<giver&>(givers_.front()).end(offer::closed);
    }

 private:
    // A run is over, and mostly another begins. None does while somebody waits at the other end:
    // who joins a line ends the run of those that would pass it by.
    template <class U>
    [[gnu::always_inline]] offer give_anew(U&& item) {
        if (!takers_.empty()) {
            hand_over(std::forward<U>(item));
            return offer::taken;
        }
        const std::size_t stored = store_.size();
        if (stored >= room_) return closed_ ? offer::closed : offer::full;
        store_.push(std::forward<U>(item));
        if (const std::size_t more = room_ - stored - 1; more != 0) store_.begin_push_run(more);
        return offer::taken;
    }
    template <class Place>
    [[gnu::always_inline]] bool take_anew(Place& place) {
        if (store_.empty()) return take_from_giver(place);
        store_.pop_into(place);
        if (!givers_.empty()) refill();
        if (givers_.empty()) store_.begin_pop_run();
        return true;
    }

    // Out of line, as all that switches to another task.
    template <class U>
    [[gnu::noinline]] void hand_over(U&& item) {
        taker& first = static_cast<taker&>(takers_.front());
        first.emplace(std::forward<U>(item));
        ++passed_;
        first.unlink();
        grant(first);
    }

    /// Nothing is stored: an item may still come from where there is no room at all.
    template <class Place>
    [[gnu::noinline]] bool take_from_giver(Place& place) {
        if (givers_.empty()) {
            place.reset();
            return closed_;
        }
        giver& first = static_cast<giver&>(givers_.front());
        place.emplace(std::move(first.item_));
        ++passed_;
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
                first.end(offer::taken);
            } catch (...) {
                first.fail(std::current_exception());
            }
        }
    }

    Store store_;
    std::size_t room_;
    std::uint64_t passed_ = 0;  // from a giver to a taker, never stored
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

    explicit taker(item_exchange& from) noexcept : from_(from) {}
    taker(taker&& other) noexcept : selectable_wait<taker>(std::move(other)), from_(*other.from_) {}
    ~taker() { reset(); }

    [[nodiscard, gnu::always_inline]] bool attempt() { return from_->take(*this); }
    void join_line() noexcept {
        from_->takers_.add(*this);
        from_->store_.end_push_run();
    }
    [[nodiscard]] std::optional<T> result() {
        if (!arrived()) return std::nullopt;
        return std::optional<T>(std::move(item_));
    }

    // As std::optional's, whose flag no get pays for that only looks.
    template <class U>
    [[gnu::always_inline]] void emplace(U&& item) {
        reset();
        std::construct_at(&item_, std::forward<U>(item));
        from_.set_mark(1);
    }
    void reset() noexcept {
        if (!arrived()) return;
        std::destroy_at(&item_);
        from_.set_mark(0);
    }

 private:
    friend item_exchange;

    [[nodiscard]] bool arrived() const noexcept { return from_.mark() != 0; }

    marked_pointer<item_exchange> from_;  // marked while there is an item
    union {
        T item_;
    };
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
    giver(item_exchange& to, U&& item) : to_(to), item_(std::forward<U>(item)) {}
    giver(giver&& other) noexcept(std::is_nothrow_move_constructible_v<T>)
        : selectable_wait<giver>(std::move(other)), to_(other.to_), item_(std::move(other.item_)) {}
    ~giver() {
        if (ending() == offer::failed) [[unlikely]]
            drop_failure();
    }

    [[nodiscard, gnu::always_inline]] bool attempt() {
        const offer how = to_->give(std::move(item_));
        if (how == offer::closed) [[unlikely]]
            set_ending(how);
        return how != offer::full;
    }
    void join_line() noexcept {
        to_->givers_.add(*this);
        to_->store_.end_pop_run();
    }
    void result() {
        if (ending() != offer::taken) [[unlikely]]
            throw_error(refusal(), Words::give_verb);
    }
    /// For nothrow(). Errors: errc::closed.
    [[nodiscard]] lariat::result<void> finish_nothrow() {
        this->throw_if_cut();
        if (ending() != offer::taken) [[unlikely]]
            return refusal();
        return {};
    }

    /// What was to be given, while it was not.
    [[nodiscard]] T& item() noexcept { return item_; }

 private:
    friend item_exchange;

    [[nodiscard]] offer ending() const noexcept { return static_cast<offer>(to_.mark()); }
    void set_ending(offer how) noexcept { to_.set_mark(static_cast<unsigned>(how)); }

    /// Pre: waits in its line.
    void end(offer how) noexcept {
        set_ending(how);
        this->unlink();
        grant(*this);
    }
    void fail(std::exception_ptr why) noexcept {
        std::construct_at(&failure_, std::move(why));
        end(offer::failed);
    }
    // Out of line: GCC 12 takes what a mark guards for used unset.
    [[gnu::noinline]] void drop_failure() noexcept { std::destroy_at(&failure_); }
    /// Errors: what went wrong when its item was to be stored.
    [[nodiscard]] std::error_code refusal() {
        if (ending() == offer::failed) {
            const std::exception_ptr why = std::move(failure_);
            drop_failure();
            set_ending(offer::taken);
            std::rethrow_exception(why);
        }
        return make_error_code(errc::closed);
    }

    marked_pointer<item_exchange> to_;  // marked with its ending; `taken` unless it was refused
    T item_;
    union {
        std::exception_ptr failure_;  // while its ending is `failed`: no put pays for it before
    };
};

}  // namespace lariat::detail
