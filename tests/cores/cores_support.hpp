#pragma once

#include <lariat/cores/cores.hpp>

#include <lariat/loop/loop.hpp>
#include <lariat/task/task.hpp>

#include <cstddef>
#include <utility>

namespace lariat::test {

/// So many, wherever the system puts them: the machine may have fewer processors.
inline cores_options some_cores(std::size_t count) {
    cores_options options;
    options.count = count;
    options.pin = false;
    return options;
}

/// Runs body(cores) on a loop that is the first of so many.
template <class Body>
auto run_on_cores(std::size_t count, Body body) {
    return run(with_cores(some_cores(count), std::move(body)));
}

}  // namespace lariat::test
