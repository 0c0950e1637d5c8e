#pragma once

#include <lariat/base/assert.hpp>
#include <lariat/base/frame_allocator.hpp>

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <iterator>
#include <memory>
#include <ranges>
#include <type_traits>
#include <utility>

namespace lariat {

/// `co_yield elements_of(source)` passes on every item of `source`, as Python's `yield from`.
///
/// `source` is a generator of the same type, which is given up to it (`walk(node.left)`,
/// `std::move(inner)`): an item then costs the same however deep the nesting, and so does the
/// stack. What is sent to the outer generator reaches the innermost. In a one-way generator it may
/// also be any range whose elements can be yielded, which is only borrowed.
template <class Source>
struct elements_of {
    explicit elements_of(Source&& from) noexcept : source(std::forward<Source>(from)) {}
    Source&& source;
};
template <class Source>
elements_of(Source&&) -> elements_of<Source>;

template <class T, class In = void>
class generator;

namespace detail {

template <class T, class In>
class generator_promise;

/// A delegation under way: it lies in the frame of the generator that delegates, and owns the
/// frame of the one delegated to.
template <class T, class In>
struct delegation {
    using handle = std::coroutine_handle<generator_promise<T, In>>;

    explicit delegation(handle to) noexcept : inner(to) {}
    delegation(delegation&& other) noexcept : inner(std::exchange(other.inner, nullptr)) {}
    ~delegation() {
        if (inner) inner.destroy();
    }

    bool await_ready() const noexcept { return inner.done(); }
    void await_suspend(handle from) noexcept {
        outer = from;
        from.promise().delegate(*this);
    }
    void await_resume() {
        if (inner.promise().failure) std::rethrow_exception(std::move(inner.promise().failure));
    }

    handle inner;
    handle outer;
};

/// The value of a `co_yield` in a two-way generator; in a one-way generator there is none.
template <class T, class In>
struct yielded : std::suspend_always {
    explicit yielded(generator_promise<T, In>& by) noexcept : promise(by) {}
    In await_resume() { return promise.root->take_sent(); }
    generator_promise<T, In>& promise;
};
template <class T>
struct yielded<T, void> : std::suspend_always {
    explicit yielded(generator_promise<T, void>&) noexcept {}
};

/// A yielded constant, where the consumer gets a reference it may write through: the copy lies
/// here.
template <class T, class In>
struct yielded_copy : yielded<T, In> {
    yielded_copy(generator_promise<T, In>& by, const T& value) : yielded<T, In>(by), copy(value) {}
    void await_suspend(std::coroutine_handle<generator_promise<T, In>> from) noexcept {
        from.promise().show(copy);
    }
    T copy;
};

enum class generator_state : unsigned char { fresh, parked, running, finished };

/// The promise of a generator. `root` is the generator that the consumer holds; only its `leaf`
/// (the innermost generator, the one to resume), `item`, `sent` and `state` are in use. When a
/// generator ends it does not resume its parent: the root's loop does, so that the stack stays flat
/// also where the compiler makes no tail call of a symmetric transfer.
template <class T, class In>
class generator_promise {
 public:
    using item_type = std::remove_reference_t<T>;
    using sent_type = std::conditional_t<std::is_void_v<In>, char, In>;
    using handle = std::coroutine_handle<generator_promise>;

    static void* operator new(std::size_t bytes) { return allocate_frame(bytes); }
    static void operator delete(void* frame, std::size_t bytes) noexcept {
        deallocate_frame(frame, bytes);
    }

    generator_promise() noexcept : root(this), leaf(handle::from_promise(*this)) {}

    generator<T, In> get_return_object() noexcept {
        return generator<T, In>(handle::from_promise(*this));
    }
    std::suspend_always initial_suspend() const noexcept { return {}; }
    auto final_suspend() noexcept {
        if (parent)
            root->leaf = parent->outer;
        else
            state = generator_state::finished;
        return std::suspend_always{};
    }
    void return_void() const noexcept {}
    void unhandled_exception() noexcept { failure = std::current_exception(); }
    template <class Awaitable>
    void await_transform(Awaitable&&) = delete;  // a generator has no loop to wait on

    yielded<T, In> yield_value(item_type& value) noexcept {
        show(value);
        return yielded<T, In>(*this);
    }
    yielded<T, In> yield_value(item_type&& value) noexcept
        requires(!std::is_reference_v<T>)
    {
        show(value);
        return yielded<T, In>(*this);
    }
    yielded_copy<T, In> yield_value(const item_type& value)
        requires(!std::is_reference_v<T> && !std::is_const_v<T> && std::copy_constructible<T>)
    {
        return yielded_copy<T, In>(*this, value);
    }
    delegation<T, In> yield_value(elements_of<generator<T, In>> from) noexcept {
        return delegation<T, In>(std::move(from.source).give_up());
    }
    template <class Range>
        requires(std::is_void_v<In> && std::ranges::input_range<Range> &&
                 !std::same_as<std::remove_cvref_t<Range>, generator<T, In>>)
    delegation<T, In> yield_value(elements_of<Range> from) {
        return delegation<T, In>(each_of(from.source).give_up());
    }

    void show(item_type& value) noexcept { root->item = std::addressof(value); }
    void delegate(delegation<T, In>& to) noexcept;
    item_type* advance(sent_type* value);
    [[gnu::noinline, gnu::cold]] item_type* stop();
    sent_type take_sent();
    void destroy() noexcept;

    generator_promise* root;
    handle leaf;
    item_type* item = nullptr;
    sent_type* sent = nullptr;
    delegation<T, In>* parent = nullptr;
    std::exception_ptr failure;
    generator_state state = generator_state::fresh;

 private:
    template <class Range>
    static generator<T, In> each_of(Range& range) {
        for (auto&& element : range) co_yield std::forward<decltype(element)>(element);
    }
};

/// Only a leaf delegates. The inner generator, which may have delegated already, comes under our
/// root with all that is below it.
template <class T, class In>
void generator_promise<T, In>::delegate(delegation<T, In>& to) noexcept {
    auto& inner = to.inner.promise();
    inner.parent = &to;
    root->leaf = inner.leaf;
    for (auto* below = &inner.leaf.promise();; below = &below->parent->outer.promise()) {
        below->root = root;
        if (below == &inner) break;
    }
}

// Small, so that it is inlined into the consumer's loop; what is rare stands in stop().
template <class T, class In>
inline auto generator_promise<T, In>::advance([[maybe_unused]] sent_type* value) -> item_type* {
    if (state >= generator_state::running) [[unlikely]]
        return stop();
    state = generator_state::running;
    if constexpr (!std::is_void_v<In>) sent = value;
    item = nullptr;
    do {
        leaf.resume();
        if (item_type* const shown = item) [[likely]] {
            state = generator_state::parked;
            return shown;
        }
    } while (state == generator_state::running);
    return stop();
}

/// The end, now or earlier; or the failure that was the end.
template <class T, class In>
auto generator_promise<T, In>::stop() -> item_type* {
    require(state != generator_state::running, "a generator may not be resumed by itself");
    if (failure) std::rethrow_exception(std::move(failure));
    return nullptr;
}

template <class T, class In>
auto generator_promise<T, In>::take_sent() -> sent_type {
    if (sent) return std::move(*std::exchange(sent, nullptr));
    if constexpr (std::default_initializable<sent_type>)
        return sent_type{};
    else
        rule_broken("next() on a started generator sends In{}, and this In has none: use send()");
}

/// Innermost first, as unwinding would, but in a loop: a deep nesting needs no deep stack.
template <class T, class In>
void generator_promise<T, In>::destroy() noexcept {
    require(state != generator_state::running, "a generator may not be destroyed by itself");
    while (auto* above = leaf.promise().parent) {
        leaf = above->outer;
        std::exchange(above->inner, nullptr).destroy();
    }
    handle::from_promise(*this).destroy();
}

}  // namespace detail

/// A function that makes its items one at a time, when they are asked for: Python's generator.
///
///     lariat::generator<int> count(int from) {
///         for (int i = from;; ++i) co_yield i;
///     }
///     for (int i : count(1) | std::views::take(3)) std::printf("%d\n", i);  // 1 2 3
///
/// It is an input range and a view (move-only). An item is lent, never copied: the consumer gets
/// a reference to what stands behind `co_yield`, good until the next item is asked for. (Only a
/// constant yielded from a `generator<T>` of non-constant T is copied.) `generator<const T>` lends
/// constants, `generator<T&>` references only.
///
/// Two-way, as Python's send: in `generator<T, In>` the value of `In got = co_yield item;` is what
/// the consumer hands to `send`. next() on a started one sends `In{}`; std::optional<In> tells.
///
/// GCC 12 miscompiles `while (co_yield x)` in a body without a local variable, and destroys the
/// item of `co_yield aggregate{...}` twice unless its type has a constructor (tests/canaries, G1
/// and G3).
///
/// Errors       what the body throws comes out of the call that asked; the generator is then done
/// Threads      one at a time
/// Lifetime     reference parameters of the function must outlive the generator
/// Allocation   one frame, from the recycling allocator, unless the compiler elides it
template <class T, class In>
class [[nodiscard("a generator runs only when its items are asked for")]] generator {
    static_assert(!std::is_rvalue_reference_v<T>, "generator<T> already lends its items by T&");
    static_assert(!std::is_reference_v<In>, "what is sent is moved: In is a value or a pointer");

 public:
    using promise_type = detail::generator_promise<T, In>;
    using item_type = std::remove_reference_t<T>;

    generator(generator&& other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}
    generator& operator=(generator&& other) noexcept {
        std::swap(frame_, other.frame_);
        return *this;
    }
    ~generator() {
        if (frame_) frame_.promise().destroy();
    }

    /// Runs to the next co_yield.
    ///
    /// Returns  the item, good until the generator is resumed; null at the end, and ever after
    /// Errors   what the body throws
    item_type* next() { return promise().advance(nullptr); }

    /// Makes `value` the value of the co_yield at which the generator stands, and runs on.
    ///
    /// Pre      next() (or begin()) has been called: a fresh generator stands at no co_yield
    /// Returns  as next(). After the end the value is dropped.
    template <class Value = In>
        requires(!std::is_void_v<In> && std::constructible_from<In, Value>)
    item_type* send(Value&& value) {
        using enum detail::generator_state;
        detail::require(promise().state != fresh,
                        "send() before the first next(): nobody is "
                        "waiting for a value yet; call next() first");
        In moved(std::forward<Value>(value));
        return promise().advance(&moved);
    }

    /// Whether the body has ended. A generator that has not is not sure to yield again.
    [[nodiscard]] bool done() const noexcept {
        return promise().state == detail::generator_state::finished;
    }

    class iterator {
     public:
        using value_type = std::remove_cv_t<item_type>;
        using difference_type = std::ptrdiff_t;

        explicit iterator(promise_type& at) noexcept : at_(&at) {}
        iterator(iterator&& other) noexcept = default;
        iterator& operator=(iterator&& other) noexcept = default;

        item_type& operator*() const noexcept { return *at_->item; }
        item_type* operator->() const noexcept { return at_->item; }
        iterator& operator++() {
            at_->advance(nullptr);
            return *this;
        }
        void operator++(int) { ++*this; }
        friend bool operator==(const iterator& it, std::default_sentinel_t) noexcept {
            return it.at_->state == detail::generator_state::finished;
        }

     private:
        promise_type* at_;
    };

    /// Takes the next item: the range is what next() has not taken yet.
    [[nodiscard]] iterator begin() {
        promise().advance(nullptr);
        return iterator(promise());
    }
    [[nodiscard]] std::default_sentinel_t end() const noexcept { return {}; }

 private:
    friend promise_type;
    explicit generator(typename promise_type::handle frame) noexcept : frame_(frame) {}

    promise_type& promise() const noexcept {
        detail::require(frame_ != nullptr, "this generator was moved from");
        return frame_.promise();
    }
    typename promise_type::handle give_up() && noexcept {
        using enum detail::generator_state;
        detail::require(promise().state != running, "a generator may not delegate to itself");
        return std::exchange(frame_, nullptr);
    }

    typename promise_type::handle frame_;
};

}  // namespace lariat

template <class T, class In>
inline constexpr bool std::ranges::enable_view<lariat::generator<T, In>> = true;
