#pragma once

#include <lariat/process/arena.hpp>
#include <lariat/process/parcel.hpp>
#include <lariat/process/shm/mutex.hpp>
#include <lariat/process/transaction.hpp>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <type_traits>
#include <typeinfo>
#include <utility>

namespace lariat {

/// What may lie in shared memory as it is: its bytes are all there is to it, and none of them is an
/// address of one process. A pointer inside of a struct is not seen.
template <class T>
concept shareable = std::is_trivially_copyable_v<T> && std::is_same_v<T, std::remove_cvref_t<T>> &&
                    !std::is_pointer_v<T> && !std::is_member_pointer_v<T> && alignof(T) <= 64;

namespace detail {

template <class T>
concept lock_free = std::atomic<T>::is_always_lock_free;
/// What a comparison of the bytes compares: nothing lies between its members.
template <class T>
concept without_gaps = std::has_unique_object_representations_v<T> || std::is_same_v<T, float> ||
                       std::is_same_v<T, double>;
template <class T>
concept addable = std::is_arithmetic_v<T> && !std::is_same_v<T, bool>;

/// A value that is atomic by itself.
template <shareable T>
class value_store {
 public:
    explicit value_store(const T& initial) noexcept : now_(initial) {}

    [[nodiscard]] T get() const noexcept { return now_.load(std::memory_order_acquire); }
    void set(const T& next) noexcept { now_.store(next, std::memory_order_release); }
    T exchange(const T& next) noexcept { return now_.exchange(next, std::memory_order_acq_rel); }
    bool compare_exchange(T& expected, const T& next) noexcept {
        return now_.compare_exchange_strong(expected, next, std::memory_order_acq_rel,
                                            std::memory_order_acquire);
    }
    T add(T change) noexcept { return now_.fetch_add(change, std::memory_order_acq_rel); }
    void sweep(owner_id) const noexcept {}

 private:
    std::atomic<T> now_;
};

/// A larger one: two of them, and which of the two is valid. The next value is written to the other
/// one, and one store makes it the valid one; who is killed before that has changed nothing.
template <shareable T>
    requires(!lock_free<T>)
class value_store<T> {
 public:
    explicit value_store(const T& initial) noexcept : slots_{initial, initial} {}

    [[nodiscard]] T get() const noexcept {
        const std::lock_guard held(lock_);
        return slots_[valid_.load(std::memory_order_relaxed)];
    }
    void set(const T& next) noexcept {
        const std::lock_guard held(lock_);
        write(next);
    }
    T exchange(const T& next) noexcept {
        const std::lock_guard held(lock_);
        const T before = slots_[valid_.load(std::memory_order_relaxed)];
        write(next);
        return before;
    }
    bool compare_exchange(T& expected, const T& next) noexcept {
        const std::lock_guard held(lock_);
        const T& now = slots_[valid_.load(std::memory_order_relaxed)];
        if (std::memcmp(&now, &expected, sizeof(T)) == 0) {
            write(next);
            return true;
        }
        expected = now;
        return false;
    }
    T add(T change) noexcept {
        const std::lock_guard held(lock_);
        const T before = slots_[valid_.load(std::memory_order_relaxed)];
        write(static_cast<T>(before + change));
        return before;
    }
    void sweep(owner_id dead) noexcept {
        if (lock_.holder() == dead && lock_.inherit(dead)) lock_.unlock();
    }

 private:
    void write(const T& next) noexcept {
        const std::uint32_t other = 1 - valid_.load(std::memory_order_relaxed);
        step();
        std::memcpy(&slots_[other], &next, sizeof(T));
        step();
        std::atomic_signal_fence(std::memory_order_seq_cst);  // the copy, then what names it
        valid_.store(other, std::memory_order_relaxed);
        step();
    }

    mutable robust_lock lock_;
    std::atomic<std::uint32_t> valid_{0};
    std::array<T, 2> slots_;
};

/// What a shared value is in the arena.
template <shareable T>
struct value_body : mutex_body {
    explicit value_body(const T& initial) noexcept : store(initial) {}

    static void sweep(void* body, owner_id dead) noexcept {
        auto* self = static_cast<value_body*>(body);
        self->word.sweep(dead);
        self->store.sweep(dead);
    }
    static constexpr cell_kind kind{"shm::value", nullptr, &value_body::sweep};

    value_store<T> store;
};

}  // namespace detail

namespace shm {

/// One value that all processes of a family see: a number, or what is its bytes.
///
///     lariat::shm::value<int> sold(0);     // copies, also in other processes, name the same
///     sold.fetch_add(1);
///     auto guard = co_await sold.lock();   // its own lock, for more than one step
///     if (sold.get() < 10) sold.set(sold.get() + 1);
///
/// Each of its verbs is atomic towards all others, and towards being killed: nobody ever sees half
/// a value. They neither take its lock (that of lock(), see shm::mutex for the verbs and
/// owner_died) nor ask whether somebody holds it: the lock is for those who agree to use it.
///
/// Threads      any; what was done before a value was set is seen after it was got
/// Lifetime     a guard of its lock, and one who waits for it, need a handle of their process
/// Allocation   a new one: 64 bytes of shared memory and twice the value; none by its verbs
/// Cost         of up to 8 bytes, as std::atomic; larger ones take a short lock for the copy
/// Limits       trivially copyable types that are no pointers
template <shareable T>
class value : public detail::lock_verbs<detail::mutex_body> {
 public:
    using value_type = T;

    /// A new one. Errors: std::system_error (ENOMEM); std::logic_error outside of a family.
    value()
        requires std::is_default_constructible_v<T>
        : value(T{}) {}
    explicit value(const T& initial)
        : lock_verbs(
              detail::make_cell<detail::value_body<T>>(detail::value_body<T>::kind, initial)) {}

    [[nodiscard]] T get() const noexcept { return store().get(); }
    void set(const T& next) const noexcept { store().set(next); }
    /// Returns what it was before.
    T exchange(const T& next) const noexcept { return store().exchange(next); }
    /// Sets it if it is `expected`, byte by byte; else that becomes what it is. Returns whether it
    /// was set. For types whose bytes are all their value's.
    bool compare_exchange(T& expected, const T& next) const noexcept
        requires detail::without_gaps<T>
    {
        return store().compare_exchange(expected, next);
    }
    /// Adds to a number. Returns what it was before.
    T fetch_add(T change) const noexcept
        requires detail::addable<T>
    {
        return store().add(change);
    }

    void pack_into(detail::parcel_writer& to) const { handle().pack_into(to); }
    [[nodiscard]] static value unpack_from(detail::parcel_reader& from) {
        return value(detail::shared_handle<detail::mutex_body>::unpack(
            from, detail::value_body<T>::kind, typeid(value)));
    }

 private:
    explicit value(detail::shared_handle<detail::mutex_body> of) noexcept
        : lock_verbs(std::move(of)) {}
    [[nodiscard]] detail::value_store<T>& store() const noexcept {
        return static_cast<detail::value_body<T>&>(body()).store;
    }
};

}  // namespace shm

}  // namespace lariat
