#include <lariat/offload/offload.hpp>

#include <utility>

namespace lariat {

namespace {

constinit thread_local detail::blocking_pool* chosen = nullptr;

}  // namespace

use_pool::use_pool(thread_pool& pool) noexcept : before_(std::exchange(chosen, &pool.engine())) {}

use_pool::~use_pool() { chosen = before_; }

detail::blocking_pool& detail::chosen_pool() {
    return chosen != nullptr ? *chosen : blocking_pool::shared();
}

}  // namespace lariat
