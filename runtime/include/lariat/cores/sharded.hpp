#pragma once

#include <lariat/base/assert.hpp>
#include <lariat/cores/core_calls.hpp>
#include <lariat/cores/cores.hpp>
#include <lariat/cores/shard.hpp>
#include <lariat/task/error_group.hpp>
#include <lariat/task/task.hpp>

#include <concepts>
#include <cstddef>
#include <exception>
#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace lariat {

template <class T>
class sharded;

namespace detail {

template <class T>
concept stoppable = requires(T& each) { each.stop(); };

/// A call of fn(instance, args...) on the core that it has come to.
template <class T, class Fn, class... Args>
struct shard_call {
    using called = std::invoke_result_t<Fn&, T&, Args...>;

    template <class F, class... A>
    explicit shard_call(const sharded<T>& of, F&& function, A&&... arguments)
        : on(&of), fn(std::forward<F>(function)), args(std::forward<A>(arguments)...) {}

    called operator()() {
        shard<T>& own = on->open_here();
        if constexpr (is_task<called>) {
            return hold(own, *this);
        } else {
            return invoke(own.value);
        }
    }

 private:
    static called hold(shard<T>& own, shard_call& call) {
        const shard_core::hold held(own);
        co_return co_await call.invoke(own.value);
    }
    called invoke(T& value) {
        return std::apply(
            [&](Args&... each) -> called { return std::invoke(fn, value, std::move(each)...); },
            args);
    }

    const sharded<T>* on;
    Fn fn;
    std::tuple<Args...> args;
};

}  // namespace detail

/// One instance of T on each core, made, used and destroyed there: state without locks.
///
///     lariat::sharded<cache> caches(all);
///     co_await caches.start(limit);                          // cache(limit) on each core
///     co_await caches.invoke_on(owner_of(key), &cache::put, key, value);
///     std::size_t size = co_await caches.map_reduce(&cache::size, std::size_t(0), std::plus<>());
///     co_await caches.stop();
///
/// Order        calls of one core to an instance begin in the order in which they were made
/// Threads      every verb from every core; start(), stop() and its end: when no other verb is
///              being called
/// Lifetime     outlives the calls to it; the cores outlive it. One that goes without stop() has
///              its instances destroyed, each on its core, soon after, and at the latest when the
///              core ends; T::stop() is not called then
/// Allocation   one block a core, made there
/// Errors       closed_error for a core whose instance is not made yet, or stopped
template <class T>
class sharded {
 public:
    explicit sharded(const cores& all) noexcept : cores_(&all) {}
    sharded(const sharded&) = delete;
    sharded& operator=(const sharded&) = delete;
    ~sharded() { abandon(); }

    /// Makes T(args...) on each core, of its own copies of the arguments; references need std::ref.
    ///
    /// Suspends until all are made · Errors: what a constructor throws; those that were made go,
    /// and it may be started again · Cancel: the same · Pre: not started.
    template <class... Args>
        requires std::constructible_from<T, Args...>
    [[nodiscard]] task<> start(Args... args) {
        detail::require(slots_.empty(), "a sharded object is started once");
        slots_.resize(cores_->core_count());
        undo failed(*this);
        auto makes = cores_->on_all(&make<Args...>, std::ref(*this), std::move(args)...);
        co_await std::move(makes);
        failed.of = nullptr;
    }

    /// This core's. Pre: on a core, started. Errors: closed_error after stop().
    [[nodiscard]] T& local() const {
        require_started();
        const std::size_t core = cores_->this_core();
        detail::shard<T>* const own = slots_[core];
        if (own == nullptr) (void)detail::require_open(own, core);
        return own->value;
    }

    /// Calls fn(instance, args...) on a core, this one or another; a pointer to a member will do.
    /// Otherwise as cores::call_on. Pre: started. Cost: as there; for a task, one frame more.
    template <class Fn, class... Args>
        requires std::invocable<std::decay_t<Fn>&, T&, std::decay_t<Args>...>
    [[nodiscard]] auto invoke_on(std::size_t core, Fn&& fn, Args&&... args) const {
        return cores_->call_on(core, bind(std::forward<Fn>(fn), std::forward<Args>(args)...));
    }

    /// Calls a copy of fn(instance, copies of args...) on every core at once. Otherwise as
    /// cores::on_all. Pre: started.
    template <class Fn, class... Args>
        requires std::invocable<std::decay_t<Fn>&, T&, std::decay_t<Args>...>
    [[nodiscard]] auto invoke_on_all(Fn&& fn, Args&&... args) const {
        return cores_->on_all(bind(std::forward<Fn>(fn), std::forward<Args>(args)...));
    }

    /// Calls a copy of mapper(instance) on every core at once, and reduces the results here, in the
    /// order of the cores, as cores::map_reduce. Pre: started.
    template <class Mapper, class Value, class Reducer>
        requires std::invocable<std::decay_t<Mapper>&, T&>
    [[nodiscard]] task<Value> map_reduce(Mapper mapper, Value initial, Reducer reducer) const {
        return cores_->map_reduce(bind(std::move(mapper)), std::move(initial), std::move(reducer));
    }

    /// Calls and awaits T::stop() on each core, if T has it, with all instances still in use; then
    /// ends them: no call begins any more, those under way are awaited, and each is destroyed on
    /// its core.
    ///
    /// Suspends until all are destroyed · Errors: what T::stop() threw, once all are destroyed;
    /// several as an error_group · Cancel: cancels the T::stop() that run, and goes on without
    /// waiting for calls under way: the last on each core destroys its instance · Pre: started, not
    /// stopped.
    [[nodiscard]] task<> stop() {
        require_started();
        detail::require(!std::exchange(stopped_, true), "a sharded object is stopped once");
        const undo leave(*this);
        std::vector<std::exception_ptr> failures;
        if constexpr (detail::stoppable<T>) {
            auto stops = cores_->on_all(&stop_here, std::cref(*this));
            failures = co_await std::move(stops);
            std::erase(failures, nullptr);
        }
        auto ends = cores_->on_all(&end_here, std::ref(*this));
        co_await std::move(ends);
        if (!failures.empty()) detail::throw_all(std::move(failures));
    }

 private:
    template <class, class, class...>
    friend struct detail::shard_call;

    /// A start that did not come to its end, or a stop cut short, lets all instances go.
    struct undo {
        explicit undo(sharded& which) noexcept : of(&which) {}
        undo(const undo&) = delete;
        undo& operator=(const undo&) = delete;
        ~undo() {
            if (of == nullptr) return;
            of->abandon();
            if (!of->stopped_) of->slots_.clear();
        }
        sharded* of;
    };

    template <class Fn, class... Args>
    auto bind(Fn&& fn, Args&&... args) const {
        require_started();
        return detail::shard_call<T, std::decay_t<Fn>, std::decay_t<Args>...>(
            *this, std::forward<Fn>(fn), std::forward<Args>(args)...);
    }
    void require_started() const noexcept {
        detail::require(!slots_.empty(),
                        "a sharded object has no instances before start(): "
                        "co_await object.start(arguments of T)");
    }
    detail::shard<T>& open_here() const {
        const std::size_t core = cores_->this_core();
        return static_cast<detail::shard<T>&>(detail::require_open(slots_[core], core));
    }

    template <class... Args>
    static void make(sharded& self, Args... args) {
        self.slots_[self.cores_->this_core()] = new detail::shard<T>(std::forward<Args>(args)...);
    }
    static task<std::exception_ptr> stop_here(const sharded& self) {
        detail::shard<T>& own = self.open_here();
        const detail::shard_core::hold held(own);
        std::exception_ptr failure;
        try {
            if constexpr (detail::is_task<decltype(own.value.stop())>) {
                co_await own.value.stop();
            } else {
                own.value.stop();
            }
        } catch (const cancelled&) {
            throw;
        } catch (...) {
            failure = std::current_exception();
        }
        co_return failure;
    }
    static task<> end_here(sharded& self) {
        detail::shard<T>*& slot = self.slots_[self.cores_->this_core()];
        slot->close();
        co_await slot->wait_idle();
        std::exchange(slot, nullptr)->let_go();
    }
    /// Pre: no verb is under way.
    void abandon() noexcept {
        for (std::size_t core = 0; core < slots_.size(); ++core) {
            detail::shard<T>* const own = std::exchange(slots_[core], nullptr);
            if (own != nullptr) own->abandon(cores_->ref(core));
        }
    }

    const cores* cores_;
    std::vector<detail::shard<T>*> slots_;  ///< each is its core's, while calls are under way
    bool stopped_ = false;
};

}  // namespace lariat
