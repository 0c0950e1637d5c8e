#pragma once

#include "driver/uring/buffer_ring.hpp"

#include <cstdint>
#include <optional>
#include <random>
#include <unordered_map>

namespace lariat {
struct op;
}

namespace lariat::detail {

/// For tests: makes multishot ops end at random with a completion that carries a result, as kernels
/// may and seldom do. The op is cancelled in the kernel; its last result is held back until the
/// kernel's own end has come, so that the user's op is free only when the kernel's is.
class early_end {
 public:
    struct outcome {
        std::int32_t result;
        lent_piece piece;
    };

    explicit early_end(std::uint64_t seed) : random_(seed) {}

    /// True with a chance of one in three.
    [[nodiscard]] bool strikes() { return random_() % 3 == 0; }
    void hold(const op& ending, outcome last) { held_[&ending] = last; }
    [[nodiscard]] std::optional<outcome> take(const op& ending) {
        const auto found = held_.find(&ending);
        if (found == held_.end()) return std::nullopt;
        const outcome last = found->second;
        held_.erase(found);
        return last;
    }

 private:
    std::minstd_rand0 random_;
    std::unordered_map<const op*, outcome> held_;
};

}  // namespace lariat::detail
