#pragma once

#include <lariat/base/config.hpp>
#include <lariat/process/arena.hpp>
#include <lariat/process/parcel.hpp>
#include <lariat/process/shm/mutex.hpp>
#include <lariat/process/shm/value.hpp>
#include <lariat/process/transaction.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <mutex>
#include <new>
#include <span>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <vector>

namespace lariat {

namespace detail {

/// As elements lie in an array, aligned as their type: numbers, and what is aligned like one.
template <class T>
concept atomic_element = lock_free<T> && alignof(T) == sizeof(T);

[[noreturn]] LARIAT_EXPORT void throw_out_of_range(std::size_t index, std::size_t size);

/// What a shared array is in the arena: this, one more element where a write is prepared (not for
/// types that are atomic by themselves), and the elements, from the next multiple of 64 bytes.
///
/// States       of an element that is written: `pending` 0 -> prepared in the extra element, and
///              `pending` names the index (from here on it happens: who finds it so copies) -> 0
template <shareable T>
struct array_body : mutex_body {
    explicit array_body(std::size_t elements) noexcept : size(elements) {}

    static constexpr std::size_t line = 64;
    [[nodiscard]] static constexpr std::size_t up_to_line(std::size_t bytes) noexcept {
        return (bytes + line - 1) / line * line;
    }
    [[nodiscard]] static constexpr std::size_t first() noexcept {
        const std::size_t extra = atomic_element<T> ? 0 : up_to_line(sizeof(T));
        return up_to_line(sizeof(array_body)) + extra;
    }
    /// Held at what no arena has, instead of overflowing.
    [[nodiscard]] static constexpr std::size_t bytes(std::size_t elements) noexcept {
        constexpr std::size_t too_much = std::numeric_limits<std::size_t>::max() / 4;
        return elements > (too_much - first()) / sizeof(T) ? too_much
                                                           : first() + elements * sizeof(T);
    }
    [[nodiscard]] T* elements() noexcept { return at_offset(first()); }
    [[nodiscard]] T* prepared() noexcept { return at_offset(up_to_line(sizeof(array_body))); }

    [[nodiscard]] T get(std::size_t index) noexcept {
        if constexpr (atomic_element<T>) {
            return std::atomic_ref(elements()[index]).load(std::memory_order_acquire);
        } else {
            const std::lock_guard held(lock);
            finish();
            return elements()[index];
        }
    }
    void set(std::size_t index, const T& next) noexcept {
        if constexpr (atomic_element<T>) {
            std::atomic_ref(elements()[index]).store(next, std::memory_order_release);
        } else {
            const std::lock_guard held(lock);
            finish();
            step();
            std::memcpy(prepared(), &next, sizeof(T));
            step();
            // The copy, then what names it; the compiler keeps the order towards a kill.
            std::atomic_signal_fence(std::memory_order_seq_cst);
            pending.store(index + 1, std::memory_order_relaxed);
            step();
            finish();
        }
    }
    T add(std::size_t index, T change) noexcept {
        return std::atomic_ref(elements()[index]).fetch_add(change, std::memory_order_acq_rel);
    }

    static void sweep(void* body, owner_id dead) noexcept {
        auto* self = static_cast<array_body*>(body);
        self->word.sweep(dead);
        if (self->lock.holder() != dead || !self->lock.inherit(dead)) return;
        self->finish();
        self->lock.unlock();
    }
    static constexpr cell_kind kind{"shm::array", nullptr, &array_body::sweep};

    std::size_t size;
    robust_lock lock;
    std::atomic<std::uint64_t> pending{0};

 private:
    [[nodiscard]] T* at_offset(std::size_t offset) noexcept {
        return std::launder(reinterpret_cast<T*>(reinterpret_cast<std::byte*>(this) + offset));
    }
    /// Under the lock, which may have come from a dead holder: a prepared write is done.
    void finish() noexcept {
        const std::uint64_t index = pending.load(std::memory_order_relaxed);
        if (index == 0) [[likely]]
            return;
        std::atomic_signal_fence(std::memory_order_seq_cst);
        std::memcpy(elements() + (index - 1), prepared(), sizeof(T));
        step();
        std::atomic_signal_fence(std::memory_order_seq_cst);
        pending.store(0, std::memory_order_relaxed);
        step();
    }
};

}  // namespace detail

namespace shm {

/// A fixed number of values that all processes of a family see.
///
///     lariat::shm::array<double> row(1000);   // copies, also in other processes, name the same
///     row[3] = 0.5;                           // one element, atomically
///     auto guard = co_await row.lock();       // its own lock, for more than one step
///     std::ranges::sort(row.elements());
///
/// get(), set(), [], at(), fetch_add() and fill() treat each element atomically, towards each other
/// and towards being killed: nobody ever sees half an element. They do not take the array's lock
/// (that of lock(), see shm::mutex for the verbs and owner_died): it is for those who agree to use
/// it, and elements() needs it, or a part of the array that is one process's alone.
///
/// Threads      any; what was done before an element was set is seen after it was got
/// Lifetime     elements(), a guard of its lock, and one who waits for it, need a handle of their
///              process
/// Allocation   a new one: its size and up to 256 bytes, in a block of shared memory of 2^n or
///              3 * 2^n bytes, all of which the system gives at once (a second for some GiB); none
///              by its verbs but to_vector()
/// Cost         of a number, as std::atomic; others take a short lock of the whole array for a copy
/// Limits       trivially copyable types that are no pointers; the family's memory
template <shareable T>
class array : public detail::lock_verbs<detail::mutex_body> {
 public:
    using value_type = T;
    class element;

    /// A new one, of `elements` times T{}, or `initial`. Errors: std::system_error (ENOMEM) that
    /// nothing was made; std::logic_error outside of a family.
    explicit array(std::size_t elements)
        requires std::is_default_constructible_v<T>
        : lock_verbs(make(elements)) {
        // The arena's memory comes zeroed: of a large array no page is written here.
        if constexpr (!std::is_trivially_default_constructible_v<T>)
            std::uninitialized_fill_n(data(), elements, T{});
    }
    array(std::size_t elements, const T& initial) : lock_verbs(make(elements)) {
        std::uninitialized_fill_n(data(), elements, initial);
    }

    [[nodiscard]] std::size_t size() const noexcept { return all().size; }
    /// Errors (all with an index): std::out_of_range that names index and size.
    [[nodiscard]] T get(std::size_t index) const { return all().get(checked(index)); }
    void set(std::size_t index, const T& next) const { all().set(checked(index), next); }
    /// The place of an element, to be read and written; `auto` keeps the place, not the value.
    [[nodiscard]] element operator[](std::size_t index) const {
        return element(all(), checked(index));
    }
    [[nodiscard]] element at(std::size_t index) const { return (*this)[index]; }
    /// Adds to a number. Returns what it was before.
    T fetch_add(std::size_t index, T change) const
        requires(detail::addable<T> && detail::atomic_element<T>)
    {
        return all().add(checked(index), change);
    }
    /// One element after the other: who looks meanwhile, or finds a killed one's work, sees some of
    /// both.
    void fill(const T& with) const noexcept {
        for (std::size_t i = 0; i < size(); ++i) all().set(i, with);
    }
    /// A copy, one element after the other: of one moment under the lock, among those who use it.
    [[nodiscard]] std::vector<T> to_vector() const {
        std::vector<T> copy;
        copy.reserve(size());
        for (std::size_t i = 0; i < size(); ++i) copy.push_back(all().get(i));
        return copy;
    }
    /// The memory itself, for algorithms: whoever uses it keeps the others out, by the lock, or by
    /// everybody having a part of his own. A process killed meanwhile leaves what it had written.
    [[nodiscard]] std::span<T> elements() const noexcept { return {data(), size()}; }

    void pack_into(detail::parcel_writer& to) const { handle().pack_into(to); }
    [[nodiscard]] static array unpack_from(detail::parcel_reader& from) {
        return array(detail::shared_handle<detail::mutex_body>::unpack(
            from, detail::array_body<T>::kind, typeid(array)));
    }

 private:
    using body_type = detail::array_body<T>;

    explicit array(detail::shared_handle<detail::mutex_body> of) noexcept
        : lock_verbs(std::move(of)) {}

    [[nodiscard]] static detail::cell_ref make(std::size_t elements) {
        return detail::make_cell_with(
            body_type::kind, body_type::bytes(elements),
            [](void* body, void* count) {
                std::construct_at(static_cast<body_type*>(body), *static_cast<std::size_t*>(count));
            },
            &elements);
    }
    [[nodiscard]] body_type& all() const noexcept { return static_cast<body_type&>(body()); }
    [[nodiscard]] T* data() const noexcept { return all().elements(); }
    [[nodiscard]] std::size_t checked(std::size_t index) const {
        if (index >= size()) [[unlikely]]
            detail::throw_out_of_range(index, size());
        return index;
    }
};

/// The place of an element: reads and writes it as get() and set() do.
///
/// Lifetime     as a guard: a handle of its process outlives it
template <shareable T>
class array<T>::element {
 public:
    element(const element&) noexcept = default;
    ~element() = default;

    // NOLINTNEXTLINE(google-explicit-constructor): it stands for the value
    operator T() const noexcept { return body_->get(index_); }
    const element& operator=(const T& next) const noexcept {
        body_->set(index_, next);
        return *this;
    }
    /// Assigns the value, not the place; its own as well.
    // NOLINTBEGIN(bugprone-unhandled-self-assignment)
    const element& operator=(const element& other) const noexcept {
        return *this = static_cast<T>(other);
    }
    element& operator=(const element& other) noexcept {
        body_->set(index_, static_cast<T>(other));
        return *this;
    }
    // NOLINTEND(bugprone-unhandled-self-assignment)

 private:
    friend array;

    element(body_type& of, std::size_t index) noexcept : body_(&of), index_(index) {}

    body_type* body_;
    std::size_t index_;
};

}  // namespace shm

}  // namespace lariat
