#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace lariat::detail {

/// Random numbers that are the same everywhere for one seed: SplitMix64 (Steele, Lea, Flood: "Fast
/// splittable pseudorandom number generators", 2014). The standard's distributions are not.
class random_source {
 public:
    explicit random_source(std::uint64_t seed) noexcept : state_(seed) {}

    std::uint64_t next() noexcept {
        std::uint64_t z = state_ += 0x9e3779b97f4a7c15U;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
        return z ^ (z >> 31);
    }
    /// 0 ... bound - 1. Pre: bound > 0.
    std::size_t below(std::size_t bound) noexcept {
        return static_cast<std::size_t>(next() % bound);
    }
    bool coin() noexcept { return (next() & 1) != 0; }
    /// True `per_mille` times in a thousand.
    bool chance(std::uint32_t per_mille) noexcept { return below(1000) < per_mille; }

    template <class Item>
    void shuffle(std::vector<Item>& items) noexcept {
        for (std::size_t left = items.size(); left > 1; --left)
            std::swap(items[left - 1], items[below(left)]);
    }

 private:
    std::uint64_t state_;
};

}  // namespace lariat::detail
