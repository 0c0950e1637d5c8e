#include <lariat/sync/once.hpp>

#include <lariat/base/assert.hpp>

namespace lariat {

bool once::turn::must_wait(party& p) noexcept {
    if (once_->done_) return false;
    if (once_->runner_ == nullptr) {
        once_->runner_ = &p;
        mine_ = true;
        return false;
    }
    detail::require(once_->runner_ != &p, "what a once runs does not call the same once");
    return true;
}

const wait_kind once::turn::kind_of_wait{"a once to be done", &wait_queue::leave};

void once::succeed() noexcept {
    done_ = true;
    runner_ = nullptr;
    line_.wake_all();
}

void once::fail() noexcept {
    if (line_.empty()) {
        runner_ = nullptr;
        return;
    }
    auto& next = static_cast<turn&>(line_.front());
    next.mine_ = true;
    runner_ = next.who;
    line_.wake_one();
}

}  // namespace lariat
