#pragma once

#include <lariat/base/clock.hpp>
#include <lariat/task/settled.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/task.hpp>

#include <stdexcept>
#include <utility>

namespace lariat::test {

/// Ends with a value after so long.
template <class T>
task<T> give_after(duration length, T value) {
    co_await sleep(length);
    co_return value;
}

/// Ends with a std::runtime_error after so long.
template <class T = void>
task<T> fail_after(duration length, const char* text) {
    co_await sleep(length);
    throw std::runtime_error(text);
}

/// Starts body(), a task, and cancels it after so long; how it ended.
template <class Body>
task<outcome<>> cut_after(duration length, Body body) {
    auto handle = spawn(body());
    co_await sleep(length);
    handle.cancel();
    auto ended = co_await settled(std::move(handle));
    co_return ended;
}

}  // namespace lariat::test
