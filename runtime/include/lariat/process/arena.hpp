#pragma once

#include <lariat/base/config.hpp>
#include <lariat/process/transaction.hpp>
#include <lariat/process/transit.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>

namespace lariat {

/// How much shared memory a family uses.
struct arena_stats {
    std::size_t capacity_bytes = 0;
    std::size_t used_bytes = 0;  ///< taken from the system at the most so far
    std::size_t cells = 0;       ///< shared objects
    std::size_t references = 0;  ///< to them, by processes, messages and other objects
    std::size_t processes = 0;   ///< of the family, without its fork server
};
/// Threads: any. Pre: a family was started.
[[nodiscard]] LARIAT_EXPORT arena_stats shared_memory_stats();

namespace detail {

inline constexpr std::uint32_t max_processes = 1024;  // a slot is 10 bits of an owner_id

/// What the arena must know of a kind of shared object. One constant a kind, whose address names it
/// in all processes of the family (see image_pointer).
struct cell_kind {
    const char* name;
    /// Where its body keeps its lock, for a kind that has one.
    guarded* (*guard)(void* body) noexcept = nullptr;
    /// Gives back what the dead process held, and wakes all who may wait: a wake may have gone to
    /// the dead. Called for the objects that it had references to, and for those that it keeps
    /// something in. Runs in the fork server, which neither allocates nor waits for a living holder
    /// here; `guard` was recovered before.
    void (*sweep)(void* body, owner_id dead) noexcept = nullptr;
    /// Whether something in there stays the process's own when it has no handle any more, as a
    /// permit that it has acquired. Under the arena's lock: a look, no more.
    bool (*keeps)(void* body, owner_id who) noexcept = nullptr;
};

struct cell;
struct local_cell;

/// A counted pointer to a shared object. Copies within a process are counted in the process; the
/// object counts processes, messages under way, and the objects that hold it. It goes with the last
/// of them, however they ended.
///
/// Threads      distinct objects
/// Lifetime     no longer than the process
/// Allocation   the first of a process to an object: one small record
class LARIAT_EXPORT cell_ref {
 public:
    cell_ref() noexcept = default;
    cell_ref(const cell_ref& other) noexcept;
    cell_ref(cell_ref&& other) noexcept : local_(std::exchange(other.local_, nullptr)) {}
    cell_ref& operator=(cell_ref other) noexcept {
        std::swap(local_, other.local_);
        return *this;
    }
    ~cell_ref() {
        if (local_ != nullptr) drop();
    }

    [[nodiscard]] explicit operator bool() const noexcept { return local_ != nullptr; }
    /// Pre: of this kind, and not empty.
    template <class Body>
    [[nodiscard]] Body& body() const noexcept {
        return *static_cast<Body*>(address());
    }
    [[nodiscard]] const cell_kind& kind() const noexcept;
    [[nodiscard]] bool operator==(const cell_ref& other) const noexcept = default;

    /// A reference for a message; this process's until it is entrusted to another owner. Errors:
    /// std::system_error (ENOMEM).
    [[nodiscard]] transit_ref share() const;
    /// What a message brought. Errors: std::system_error (EBADMSG) for what is no reference or not
    /// of this kind.
    [[nodiscard]] static cell_ref take(transit_ref&& arrived, const cell_kind& wanted);

 private:
    friend cell_ref make_cell_with(const cell_kind&, std::size_t, void (*)(void*, void*), void*);

    explicit cell_ref(local_cell* owned) noexcept : local_(owned) {}
    [[nodiscard]] void* address() const noexcept;
    void drop() noexcept;

    local_cell* local_ = nullptr;
};

/// From now on the reference under way is held by `carrier` (a pipe, a queue), and given back with
/// it if nobody takes it.
LARIAT_EXPORT void entrust(const transit_ref& under_way, const cell_ref& carrier) noexcept;
/// The same to a process, and given back at its end.
LARIAT_EXPORT void entrust(std::uint64_t under_way, owner_id process) noexcept;

/// A new shared object of `bytes`, zeroed, then `construct`ed: under the arena's lock, so it
/// neither throws, nor waits, nor makes another. Errors: std::system_error (ENOMEM): the arena, or
/// the system's memory, is used up; std::logic_error outside of a family.
[[nodiscard]] LARIAT_EXPORT cell_ref make_cell_with(const cell_kind& kind, std::size_t bytes,
                                                    void (*construct)(void* body, void* with),
                                                    void* with);

template <class Body, class... Args>
[[nodiscard]] cell_ref make_cell(const cell_kind& kind, Args&&... args) {
    static_assert(std::is_trivially_destructible_v<Body>, "a process may go without destructors");
    static_assert(alignof(Body) <= 64);
    auto with = std::forward_as_tuple(std::forward<Args>(args)...);
    return make_cell_with(
        kind, sizeof(Body),
        [](void* body, void* given) {
            std::apply(
                [&](auto&&... each) {
                    static_assert(noexcept(Body(std::forward<decltype(each)>(each)...)));
                    std::construct_at(static_cast<Body*>(body),
                                      std::forward<decltype(each)>(each)...);
                },
                std::move(*static_cast<decltype(with)*>(given)));
        },
        &with);
}

/// Throws std::logic_error, with what to do, unless this process belongs to a family; where the
/// first loop could not begin one, what hindered it.
LARIAT_EXPORT void require_family(const char* verb);

}  // namespace detail

}  // namespace lariat
