#pragma once

#include <lariat/process/image_pointer.hpp>
#include <lariat/process/wire.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/task.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <type_traits>
#include <utility>

namespace lariat::detail {

template <class T>
struct task_result {
    using type = T;
};
template <class T>
struct task_result<task<T>> {
    using type = T;
};

/// What a function gives and takes. A process receives the arguments as `arguments` and passes them
/// on as rvalues, so `const T&` and `T&&` are as good as T.
template <class Result, class... Parameters>
struct signature {
    static constexpr bool is_task = detail::is_task<Result>;
    using returned = Result;
    using result = std::remove_cvref_t<typename task_result<Result>::type>;
    using arguments = std::tuple<std::remove_cvref_t<Parameters>...>;
    static constexpr std::size_t count = sizeof...(Parameters);
    static constexpr bool takes_values = ((!std::is_lvalue_reference_v<Parameters> ||
                                           std::is_const_v<std::remove_reference_t<Parameters>>) &&
                                          ...);
};

/// Has no member `returned` if Fn is nothing that can be called in one way.
template <class Fn>
struct call_signature {};
template <class R, class... P>
struct call_signature<R (*)(P...)> : signature<R, P...> {};
template <class R, class... P>
struct call_signature<R (*)(P...) noexcept> : signature<R, P...> {};

/// Of a class: its one operator()'s, with the class taken away.
template <class Member>
struct member_signature {};
template <class R, class C, class... P>
struct member_signature<R (C::*)(P...)> : signature<R, P...> {
    using owner = C;
};
template <class R, class C, class... P>
struct member_signature<R (C::*)(P...) const> : signature<R, P...> {
    using owner = C;
};
template <class R, class C, class... P>
struct member_signature<R (C::*)(P...)&> : signature<R, P...> {
    using owner = C;
};
template <class R, class C, class... P>
struct member_signature<R (C::*)(P...) const&> : signature<R, P...> {
    using owner = C;
};
template <class R, class C, class... P>
struct member_signature<R (C::*)(P...) noexcept> : signature<R, P...> {
    using owner = C;
};
template <class R, class C, class... P>
struct member_signature<R (C::*)(P...) const noexcept> : signature<R, P...> {
    using owner = C;
};
template <class R, class C, class... P>
struct member_signature<R (C::*)(P...) & noexcept> : signature<R, P...> {
    using owner = C;
};
template <class R, class C, class... P>
struct member_signature<R (C::*)(P...) const & noexcept> : signature<R, P...> {
    using owner = C;
};

template <class Fn>
    requires requires { &Fn::operator(); }
struct call_signature<Fn> : member_signature<decltype(&Fn::operator())> {};

template <class Fn>
concept callable_in_one_way = requires { typename call_signature<Fn>::returned; };

template <class Fn>
concept plain_function = std::is_pointer_v<Fn> && std::is_function_v<std::remove_pointer_t<Fn>>;

/// Functions go by their address: the processes of a family run one program.
template <class Fn>
void write_function(parcel_writer& to, Fn&& function) {
    using type = std::decay_t<Fn>;
    if constexpr (plain_function<type>) {
        write_value(to, said_address(reinterpret_cast<std::uintptr_t>(+function)));
    } else {
        write_value(to, std::forward<Fn>(function));
    }
}
template <class Fn>
[[nodiscard]] Fn read_function(parcel_reader& from) {
    if constexpr (plain_function<Fn>) {
        const std::uintptr_t found = found_address(read_value<std::uintptr_t>(from));
        if (found == 0) [[unlikely]]
            from.refuse(typeid(Fn), "it is in a library that both sides have not loaded");
        return reinterpret_cast<Fn>(found);
    } else {
        return read_value<Fn>(from);
    }
}

/// As the parameter's type: where the argument is of another, it is converted here.
template <class Parameter, class Argument>
void write_argument(parcel_writer& to, Argument&& argument) {
    if constexpr (std::is_same_v<std::remove_cvref_t<Argument>, Parameter>) {
        write_value(to, std::forward<Argument>(argument));
    } else if constexpr (explain<Parameter>::transferable()) {
        static_assert(std::is_convertible_v<Argument&&, Parameter>,
                      "this argument does not convert to the type of the function's parameter");
        if constexpr (std::is_convertible_v<Argument&&, Parameter>)
            write_value(to, static_cast<Parameter>(std::forward<Argument>(argument)));
    }
}

/// How a call is run where it arrives. One constant a kind of call; its address names it in all
/// processes of the family (see image_pointer).
struct call_entry {
    bool is_task;
    /// A plain function, at once: the result, packed. Null for a task.
    parcel (*run)(parcel&& arguments);
    /// A task, to be awaited on a loop. Null for a plain function.
    task<parcel> (*begin)(parcel&& arguments);
};

struct packed_call {
    const call_entry* entry = nullptr;
    parcel arguments;
};

enum class call_result { kept, dropped };

/// Fn as a process runs it. Errors: parcel_error for a damaged parcel, and what Fn throws.
template <class Fn, call_result Keep>
struct call_runner {
    using sign = call_signature<Fn>;
    using result = typename sign::result;
    static constexpr bool gives =
        Keep == call_result::kept && !std::is_void_v<typename sign::result>;

    struct unpacked {
        Fn function;
        typename sign::arguments arguments;

        typename sign::returned call() {
            return std::apply(
                [this](auto&... each) ->
                typename sign::returned { return std::move(function)(std::move(each)...); },
                arguments);
        }
    };
    [[nodiscard]] static unpacked unpack_call(parcel& from) {
        parcel_reader reader(from);
        unpacked call{read_function<Fn>(reader), read_value<typename sign::arguments>(reader)};
        reader.finish();
        return call;
    }

    static parcel run(parcel&& from) {
        unpacked call = unpack_call(from);
        if constexpr (gives) {
            return pack(call.call());
        } else {
            static_cast<void>(call.call());
            return {};
        }
    }
    // What Fn takes by reference lies in this frame, as does Fn itself.
    static task<parcel> await(parcel from) {
        unpacked call = unpack_call(from);
        auto running = call.call();
        parcel answer;
        if constexpr (gives) {
            result value = co_await std::move(running);
            answer = pack(std::move(value));
        } else {
            co_await std::move(running);
        }
        co_return answer;
    }
    static task<parcel> begin(parcel&& from) { return await(std::move(from)); }

    [[nodiscard]] static constexpr call_entry describe() noexcept {
        if constexpr (sign::is_task) {
            return {true, nullptr, &begin};
        } else {
            return {false, &run, nullptr};
        }
    }
    static constexpr call_entry entry = describe();
};

/// What can be said about a call before its arguments; each message says what to write instead.
template <class Fn, call_result Keep>
consteval bool can_be_sent() {
    static_assert(callable_in_one_way<Fn>,
                  "this must be a function, a lambda without captures, or an object with one "
                  "operator(): its parameters must be known (no `auto`, no overloads)");
    if constexpr (callable_in_one_way<Fn>) {
        using sign = call_signature<Fn>;
        static_assert(sign::takes_values,
                      "the function takes a reference to something it may change; no other "
                      "process sees that: take a value or a const reference, and return the rest");
        if constexpr (!plain_function<Fn>) (void)explain<Fn>::transferable();
        if constexpr (sign::takes_values) (void)explain<typename sign::arguments>::transferable();
        bool returns = true;
        if constexpr (Keep == call_result::kept && !std::is_void_v<typename sign::result>)
            returns = explain<typename sign::result>::transferable();
        return sign::takes_values && returns && transferable<typename sign::arguments> &&
               (plain_function<Fn> || transferable<Fn>);
    } else {
        return false;
    }
}

/// A call for another process: `function` and its arguments, converted to the parameters' types.
template <call_result Keep = call_result::kept, class Function, class... Arguments>
[[nodiscard]] packed_call pack_call(Function&& function, Arguments&&... arguments) {
    using fn = std::decay_t<Function>;
    packed_call call;
    if constexpr (can_be_sent<fn, Keep>()) {
        using sign = call_signature<fn>;
        static_assert(sizeof...(Arguments) == sign::count,
                      "as many arguments as the function has parameters (default arguments are "
                      "not known here)");
        if constexpr (sizeof...(Arguments) == sign::count) {
            parcel_writer to(call.arguments);
            write_function(to, std::forward<Function>(function));
            [&]<std::size_t... I>(std::index_sequence<I...>) {
                (write_argument<std::tuple_element_t<I, typename sign::arguments>>(
                     to, std::forward<Arguments>(arguments)),
                 ...);
            }(std::index_sequence_for<Arguments...>());
            call.entry = &call_runner<fn, Keep>::entry;
        }
    }
    return call;
}

/// The other end of it.
template <class Result>
[[nodiscard]] Result unpack_result(parcel&& answer) {
    parcel_reader from(answer);
    if constexpr (std::is_void_v<Result>) {
        from.finish();
    } else {
        Result result = read_value<Result>(from);
        from.finish();
        return result;
    }
}

}  // namespace lariat::detail
