#pragma once

#include <lariat/process/packed_call.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <typeinfo>
#include <utility>

namespace lariat::detail {

// What can be asked of a manager is found by name: the mangled name of a template's instance that
// says class, method and arguments. So no address comes from a message, a damaged one cannot make
// the server call what is no operation, and another program that has the same types finds the same
// operations. Each instance that some code uses enters itself before main().

class manager_server;

/// Which connection asks. A method of a served class that takes it first is told.
struct manager_caller {
    std::uint64_t connection = 0;
    const manager_server* server = nullptr;
};

/// For a method that has to do with another object of its manager, which is held by what is
/// returned. Errors: std::invalid_argument if there is none of this number, or of another class.
[[nodiscard]] LARIAT_EXPORT std::shared_ptr<void> object_beside(const manager_caller& who,
                                                                std::uint64_t id,
                                                                const std::type_info& type);

/// One operation on its way through the server; it stays where it is until it has ended.
struct call_site {
    manager_caller caller;
    parcel request;
    std::size_t at = 0;  ///< where the arguments begin
    parcel answer;       ///< begins with what the server has written

    [[nodiscard]] parcel_reader arguments() {
        return parcel_reader(std::span<const std::byte>(request.bytes).subspan(at),
                             request.descriptors, request.references);
    }
};

/// A class whose objects live in a manager.
struct served_type {
    const std::type_info* type;
    void (*destroy)(void* body) noexcept;
    /// A connection has ended: what its process held is given back. Null if that says nothing to
    /// the class.
    void (*left)(void* body, std::uint64_t connection);
};

/// An operation; exactly one of the three functions is there.
struct served_call {
    const std::type_info* name;
    const served_type* on;
    void* (*make)(call_site& site);
    void (*run)(void* body, call_site& site);
    task<> (*begin)(void* body, call_site& site);
};

/// FNV-1a, 64 bits.
[[nodiscard]] constexpr std::uint64_t name_key(std::string_view name) noexcept {
    std::uint64_t key = 0xcbf29ce484222325U;
    for (const char each : name) {
        key ^= static_cast<unsigned char>(each);
        key *= 0x100000001b3U;
    }
    return key;
}

/// Returns the operation's key. Two types of one name, each in an unnamed namespace of its file,
/// cannot be told apart: asking for either is then refused.
[[nodiscard]] LARIAT_EXPORT std::uint64_t enter_call(const served_call& call);

template <class Handler>
inline const std::uint64_t call_key = enter_call(Handler::entry);

/// A base of the library's own classes that hold something for a connection: their
/// left(std::uint64_t connection) is called at its end. By its name alone a user's method, of
/// a turtle that goes left, would be taken for it.
struct holder_for_connections {};

template <class Body>
concept hears_of_leavers = std::derived_from<Body, holder_for_connections>;

template <class Body>
struct served {
    static void destroy(void* body) noexcept { delete static_cast<Body*>(body); }
    static void left(void* body, std::uint64_t connection) {
        if constexpr (hears_of_leavers<Body>) static_cast<Body*>(body)->left(connection);
    }
    static constexpr served_type type{&typeid(Body), &destroy,
                                      hears_of_leavers<Body> ? &left : nullptr};
};

template <class Body, class Arguments>
struct maker;
template <class Body, class... Args>
struct maker<Body, std::tuple<Args...>> {
    static void* make(call_site& site) {
        parcel_reader from = site.arguments();
        auto arguments = read_value<std::tuple<Args...>>(from);
        from.finish();
        return std::apply([](Args&... each) { return new Body(std::move(each)...); }, arguments);
    }
    static constexpr served_call entry{&typeid(maker), &served<Body>::type, &make, nullptr,
                                       nullptr};
};

/// What comes over the wire of a method's arguments.
template <class Arguments>
struct wire_arguments {
    using type = Arguments;
    static constexpr bool wants_caller = false;
};
template <class... Rest>
struct wire_arguments<std::tuple<manager_caller, Rest...>> {
    using type = std::tuple<Rest...>;
    static constexpr bool wants_caller = true;
};

template <auto Method>
concept served_method = requires { typename member_signature<decltype(Method)>::returned; };

template <class Body, auto Method>
struct method_call {
    using sign = member_signature<decltype(Method)>;
    using result = typename sign::result;
    using wire = wire_arguments<typename sign::arguments>;
    using arguments = typename wire::type;
    static constexpr bool gives = !std::is_void_v<result>;

    [[nodiscard]] static arguments read(call_site& site) {
        parcel_reader from = site.arguments();
        auto read = read_value<arguments>(from);
        from.finish();
        return read;
    }
    // By the method's own class: for one of Body's base GCC 12 warns of an aliasing that is none.
    static typename sign::returned call(typename sign::owner& body, const call_site& site,
                                        arguments& all) {
        return std::apply(
            [&](auto&... each) -> typename sign::returned {
                if constexpr (wire::wants_caller) {
                    return (body.*Method)(site.caller, std::move(each)...);
                } else {
                    return (body.*Method)(std::move(each)...);
                }
            },
            all);
    }

    static void run(void* body, call_site& site) {
        arguments all = read(site);
        if constexpr (gives) {
            auto&& value = call(*static_cast<Body*>(body), site, all);
            parcel_writer to(site.answer);
            write_value(to, std::forward<decltype(value)>(value));
        } else {
            call(*static_cast<Body*>(body), site, all);
        }
    }
    // What the method takes by reference lies in this frame.
    static task<> begin(void* body, call_site& site) {
        arguments all = read(site);
        auto running = call(*static_cast<Body*>(body), site, all);
        if constexpr (gives) {
            result value = co_await std::move(running);
            parcel_writer to(site.answer);
            write_value(to, std::move(value));
        } else {
            co_await std::move(running);
        }
    }

    [[nodiscard]] static constexpr served_call describe() noexcept {
        if constexpr (sign::is_task) {
            return {&typeid(method_call), &served<Body>::type, nullptr, nullptr, &begin};
        } else {
            return {&typeid(method_call), &served<Body>::type, nullptr, &run, nullptr};
        }
    }
    static constexpr served_call entry = describe();
};

/// What can be said about a method before its arguments.
template <auto Method>
consteval bool can_be_asked() {
    static_assert(served_method<Method>,
                  "call<&T::method>: a method that is not overloaded and changes no volatile "
                  "object; of several of one name, cast to the one that is meant");
    if constexpr (served_method<Method>) {
        using sign = member_signature<decltype(Method)>;
        using wire = typename wire_arguments<typename sign::arguments>::type;
        static_assert(sign::takes_values,
                      "the method takes a reference to something it may change; the caller lives "
                      "in another process: take a value or a const reference, and return the rest");
        (void)explain<wire>::transferable();
        if constexpr (!std::is_void_v<typename sign::result>)
            (void)explain<typename sign::result>::transferable();
        return sign::takes_values && transferable<wire>;
    } else {
        return false;
    }
}

}  // namespace lariat::detail
