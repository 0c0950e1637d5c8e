#pragma once

#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>

namespace lariat::detail {

/// A function and its arguments, kept to be called once, elsewhere or later: the arguments are
/// moved into that call.
template <class Fn, class... Args>
struct bound_call {
    template <class F, class... A>
    explicit bound_call(std::in_place_t /*tag*/, F&& function, A&&... arguments)
        : fn(std::forward<F>(function)), args(std::forward<A>(arguments)...) {}

    decltype(auto) operator()() {
        return std::apply(
            [this](Args&... each) -> decltype(auto) { return std::invoke(fn, std::move(each)...); },
            args);
    }

    Fn fn;
    std::tuple<Args...> args;
};

/// With copies of its own; what is to be a reference is given by std::ref.
template <class Fn, class... Args>
using bound = bound_call<std::decay_t<Fn>, std::decay_t<Args>...>;
template <class Fn, class... Args>
using bound_result = std::invoke_result_t<std::decay_t<Fn>&, std::decay_t<Args>...>;

}  // namespace lariat::detail
