#pragma once

#include <lariat/process/manager_error.hpp>
#include <lariat/process/manager_registry.hpp>
#include <lariat/process/wire.hpp>
#include <lariat/task/promise.hpp>
#include <lariat/task/timer_queue.hpp>

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <typeinfo>
#include <utility>

namespace lariat::detail {

class manager_link;
struct manager_session;

/// Heads a request. The arguments follow; of make and get, the name before them. Of forget, the
/// name, or the object whose name it is.
struct manager_request {
    enum class verb : std::uint64_t { call, make, get, forget, cancel, drop, ping };

    std::uint64_t id = 0;  ///< 0: no answer is wanted
    std::uint64_t object = 0;
    std::uint64_t key = 0;  ///< of the operation; of get: of the class
    verb what = verb::call;
};

/// This process's hold on an object of a manager, or (object 0) on the manager itself. Given back
/// with the last proxy.
class LARIAT_EXPORT managed_object {
 public:
    managed_object(std::shared_ptr<manager_link> to, std::uint64_t object) noexcept;
    managed_object(const managed_object&) = delete;
    managed_object& operator=(const managed_object&) = delete;
    ~managed_object();

    [[nodiscard]] manager_link& link() const noexcept { return *link_; }
    [[nodiscard]] const std::shared_ptr<manager_link>& shared_link() const noexcept {
        return link_;
    }
    [[nodiscard]] std::uint64_t id() const noexcept { return id_; }

 private:
    std::shared_ptr<manager_link> link_;
    std::uint64_t id_;
};
using managed_ref = std::shared_ptr<const managed_object>;

/// What undoes an operation whose answer came when nobody waited for it any more.
struct manager_undo {
    std::uint64_t key = 0;  ///< called with the answer; 0: nothing is to be undone
    bool drops = false;     ///< the answer is an object, to be given back
    bool names = false;     ///< and it was made with a name, to be forgotten
    /// It holds a lock at its end, cut or not: its answer is waited for as long as the manager
    /// answers at all. `key` is called with `argument` then.
    bool holds = false;
    std::uint64_t argument = 0;
};

/// Sends a request and waits for its answer.
///
/// Cancel       withdraws it; the server's word decides. If that does not come for half a second,
///              the wait ends all the same, and an answer that comes later is undone. Where
///              manager_undo::holds says that the word may be long in coming, only a manager that
///              answers nothing else for so long ends it
class LARIAT_EXPORT manager_wait : public wait_point, public single_step, private timer_entry {
 public:
    manager_wait(managed_ref object, parcel&& request, const std::type_info& name,
                 manager_undo undo) noexcept;
    manager_wait(manager_wait&& other) noexcept;
    ~manager_wait();

    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) {
        party& p = party_of(frame);
        if (!begin()) return pass(p, frame);
        park(p, frame);
        return true;
    }

 protected:
    /// Errors: `cancelled`, and the operation's own. `answer` then lies behind its head.
    [[nodiscard]] parcel_reader finish();
    /// The answer is an object that this process now holds.
    [[nodiscard]] managed_ref finish_with_object();
    [[nodiscard]] const managed_ref& object() const noexcept { return object_; }
    /// Whether the connection has gone, and with it what it held.
    [[nodiscard]] bool connection_lost() const noexcept { return failure_ != nullptr; }
    /// Whether it was cut, and the manager has not said a word.
    [[nodiscard]] bool given_up() const noexcept { return given_up_; }

 private:
    friend struct manager_session;

    /// True if it waits.
    [[nodiscard]] bool begin();
    void answered(parcel&& answer) noexcept;
    void failed(std::exception_ptr why) noexcept;
    void give_up() noexcept;
    [[nodiscard]] bool may_still_come() noexcept;
    void arm_patience() noexcept;
    static void leave(waiter& w) noexcept;
    static const wait_kind kind_of_wait;

    managed_ref object_;
    parcel message_;  // the request, then its answer
    const std::type_info* name_;
    manager_undo undo_;
    std::shared_ptr<manager_session> session_;
    std::uint64_t id_ = 0;  // 0: not under way
    std::exception_ptr failure_;
    std::uint64_t heard_ = 0;  // how many answers the session had, when this was last looked at
    bool cut_asked_ = false;
    bool was_silent_ = false;
    bool given_up_ = false;
};

template <class T>
class [[nodiscard("an operation does nothing until it is awaited: co_await it")]] manager_call
    : public manager_wait {
 public:
    using manager_wait::manager_wait;
    T await_resume() {
        parcel_reader from = finish();
        if constexpr (std::is_void_v<T>) {
            from.finish();
        } else {
            T result = read_value<T>(from);
            from.finish();
            return result;
        }
    }
};

/// Gives a proxy.
template <class Proxy>
class [[nodiscard("it does nothing until it is awaited: co_await it")]] manager_find
    : public manager_wait {
 public:
    using manager_wait::manager_wait;
    Proxy await_resume() { return Proxy(finish_with_object()); }
};

template <class Body, auto Method, class... Args>
[[nodiscard]] parcel pack_method(const managed_object& object, Args&&... args) {
    using arguments = typename method_call<Body, Method>::arguments;
    static_assert(sizeof...(Args) == std::tuple_size_v<arguments>,
                  "as many arguments as the method has parameters (default arguments are not known "
                  "here)");
    parcel packed;
    parcel_writer to(packed);
    manager_request head;
    head.object = object.id();
    head.key = call_key<method_call<Body, Method>>;
    to.append(&head, sizeof head);
    if constexpr (sizeof...(Args) == std::tuple_size_v<arguments>) {
        [&]<std::size_t... I>(std::index_sequence<I...>) {
            (write_argument<std::tuple_element_t<I, arguments>>(to, std::forward<Args>(args)), ...);
        }(std::index_sequence_for<Args...>());
    }
    return packed;
}

/// Sends a request that nobody waits for: what gives back. No effect where no loop runs: there the
/// connection, and with it what it held, has gone.
LARIAT_EXPORT void tell_manager(const managed_object& object, parcel&& request) noexcept;

/// What all proxies have in common.
class LARIAT_EXPORT any_proxy {
 public:
    /// False for an empty one, and after a move.
    [[nodiscard]] explicit operator bool() const noexcept { return object_ != nullptr; }
    /// Whether both name the same object.
    [[nodiscard]] bool operator==(const any_proxy& other) const noexcept;

    void pack_into(parcel_writer& to) const;

 protected:
    any_proxy() noexcept = default;
    explicit any_proxy(managed_ref object) noexcept : object_(std::move(object)) {}

    [[nodiscard]] static managed_ref unpack_object(parcel_reader& from);
    /// Pre: not empty.
    [[nodiscard]] const managed_ref& checked() const noexcept;

    managed_ref object_;
};

/// A proxy of type Proxy for a Body.
template <class Proxy, class Body>
class proxy_of : public any_proxy {
 public:
    using body = Body;

    /// Empty: for a move into it.
    proxy_of() noexcept = default;
    /// Library use.
    explicit proxy_of(managed_ref object) noexcept : any_proxy(std::move(object)) {}
    [[nodiscard]] static Proxy unpack_from(parcel_reader& from) {
        return Proxy(unpack_object(from));
    }

 protected:
    template <auto Method, class... Args>
    [[nodiscard]] auto ask(Args&&... args) const {
        return ask_undoable<Method>(manager_undo(), std::forward<Args>(args)...);
    }
    /// `undo`: a method that takes back what Method gave to somebody who is not there any more.
    template <auto Method, class... Args>
    [[nodiscard]] auto ask_undoable(manager_undo undo, Args&&... args) const {
        if constexpr (can_be_asked<Method>()) {
            using call = method_call<Body, Method>;
            const managed_ref& object = checked();
            return manager_call<typename call::result>(
                object, pack_method<Body, Method>(*object, std::forward<Args>(args)...),
                typeid(call), undo);
        }
    }
    template <auto Method>
    [[nodiscard]] static manager_undo undo_by() noexcept {
        manager_undo undo;
        undo.key = call_key<method_call<Body, Method>>;
        return undo;
    }
};

/// Errors: std::invalid_argument for a negative number.
template <std::integral Number>
[[nodiscard]] std::size_t as_count(Number number) {
    if (!std::in_range<std::size_t>(number))
        throw std::invalid_argument("a manager's object is given a number below zero");
    return static_cast<std::size_t>(number);
}

/// How an argument of a constructor goes over the wire.
template <class Argument>
struct sent_as {
    using type = std::decay_t<Argument>;
};
template <class Argument>
    requires(std::is_convertible_v<Argument, std::string_view> &&
             !std::is_same_v<std::decay_t<Argument>, std::string>)
struct sent_as<Argument> {
    using type = std::string;
};

}  // namespace lariat::detail

namespace lariat {

/// Names an object of a class of the user's that lives in a manager; its methods are called there.
///
///     class counter {
///      public:
///         explicit counter(int first) : value_(first) {}
///         int add(int n) { return value_ += n; }
///         task<int> add_later(int n);           // awaits, on the manager's loop
///      ...
///     auto hits = co_await m.make<lariat::proxy<counter>>(0);
///     int now = co_await hits.call<&counter::add>(1);
///
/// Order        plain methods run one at a time; a task runs beside others, from await to await.
///              A plain method that computes for long keeps all others waiting
/// Threads      of one proxy: one at a time; copies are free
/// Lifetime     as of all proxies: the object goes with its last proxy, in whatever process; one of
///              a process that was killed counts as gone. A proxy keeps its manager alive in the
///              process that started that
/// Allocation   a copy: none
template <class T>
class proxy : public detail::proxy_of<proxy<T>, T> {
 public:
    using detail::proxy_of<proxy<T>, T>::proxy_of;

    /// Suspends until the method has ended · Returns its result · Errors: its exception (see
    /// remote_error); manager_died; closed_error after shutdown(); parcel_error, std::logic_error
    /// if the manager's program does not know the method; limit_error (more than 253 descriptors) ·
    /// Cancel: withdrawn: a plain method that has not begun never will, a task is cancelled there;
    /// what had ended before that stands, and its result is delivered. So it waits for the
    /// manager's word, for half a second at most. One that hung until then begins nothing of what
    /// was withdrawn meanwhile; what it had begun, and ends too late, is undone where it can be: an
    /// item taken, a lock, an object made, with its name.
    template <auto Method, class... Args>
    [[nodiscard]] auto call(Args&&... args) const {
        return this->template ask<Method>(std::forward<Args>(args)...);
    }

    /// Library use: what make() sends.
    template <class... Args>
    [[nodiscard]] static std::tuple<typename detail::sent_as<Args>::type...> initial(
        Args&&... args) {
        return {typename detail::sent_as<Args>::type(std::forward<Args>(args))...};
    }
};

}  // namespace lariat
