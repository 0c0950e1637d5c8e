#pragma once

#include <lariat/base/result.hpp>
#include <lariat/task/held_awaiter.hpp>

#include <concepts>
#include <coroutine>
#include <type_traits>
#include <utility>

namespace lariat {

namespace detail {

template <class T>
inline constexpr bool is_result = false;
template <class T>
inline constexpr bool is_result<result<T>> = true;

template <class Awaiter>
concept finishes_nothrow =
    requires(Awaiter& awaiter) { requires is_result<decltype(awaiter.finish_nothrow())>; };

}  // namespace detail

/// What nothrow() takes: an awaiter with a second way to end, beside await_resume.
///
/// `finish_nothrow()` is called in its place, once, and gives `result<T>`; the only exceptions that
/// may leave it are `cancelled` and those of somebody else's code that have no error code (of a
/// future: what its promise was set to). A verb that is one operation writes it first and
/// await_resume on top:
///
///     class seek_awaiter : public io_awaiter {
///      public:
///         explicit seek_awaiter(const op& what) noexcept : io_awaiter(what) {}
///         result<std::size_t> finish_nothrow() const {
///             const std::int32_t got = finish();   // throws `cancelled`, if that was why it ended
///             if (got < 0) return system_code(got);
///             return static_cast<std::size_t>(got);
///         }
///         std::size_t await_resume() const { return finish_nothrow().value("seek"); }
///     };
template <class Awaitable>
concept nothrow_verb = detail::finishes_nothrow<awaiter_of<Awaitable>>;

namespace detail {

/// Passes on that a verb may be awaited inside a cancelled scope: a shield.
template <class Awaitable>
struct cancellation_as : awaiter_base {};
template <std::derived_from<ignores_cancellation> Awaitable>
struct cancellation_as<Awaitable> : awaiter_base, ignores_cancellation {};

template <class Awaitable>
class [[nodiscard(
    "nothrow does nothing until it is awaited: co_await nothrow(verb)")]] nothrow_awaiter
    : public cancellation_as<std::remove_cvref_t<Awaitable>> {
 public:
    explicit nothrow_awaiter(Awaitable&& verb) : verb_(std::forward<Awaitable>(verb)) {}
    /// Pre: not awaited yet.
    nothrow_awaiter(nothrow_awaiter&& other) noexcept(moves_nothrow<Awaitable>)
        : verb_(std::move(other.verb_)) {}

    [[nodiscard]] bool await_ready() const noexcept { return false; }
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> frame) {
        return verb_.suspend(frame);
    }
    auto await_resume() { return verb_->finish_nothrow(); }

    [[nodiscard]] bool known_cut() noexcept { return verb_.known_cut(); }

 private:
    held_awaiter<Awaitable> verb_;
};

}  // namespace detail

/// Awaits a verb and gives its errors as values: `auto got = co_await nothrow(stream.read(room));`
///
/// Returns result<T>: the value, or the error code for which the verb would have thrown; no
/// exception is built on the way. nothrow(timeout(d, verb)) gives errc::timed_out when time ran out
/// · Cancel: as the verb's: `cancelled` is still thrown, it is the scope's and not the verb's ·
/// Cost: none of its own.
///
/// A task has no other way to fail than to throw: for one there is settled().
template <class Awaitable>
auto nothrow(Awaitable&& verb) {
    static_assert(
        nothrow_verb<Awaitable>,
        "nothrow takes a verb that ends with an error code (a read, an accept, a future), or a "
        "timeout of one; this awaitable can only throw: use settled(task), or catch");
    return detail::nothrow_awaiter<Awaitable>(std::forward<Awaitable>(verb));
}

}  // namespace lariat
