#include "driver/spare_blocks.hpp"

#include <lariat/base/assert.hpp>

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

namespace lariat::detail {

spare_blocks::memory spare_blocks::allocate(std::uint32_t bytes) noexcept {
    return memory(new (std::nothrow) std::byte[bytes]);  // not zeroed
}

bool spare_blocks::has_slot() noexcept {
    if (!free_.empty()) return true;
    try {
        if (blocks_.size() == blocks_.capacity())
            blocks_.reserve(std::max<std::size_t>(64, blocks_.size() * 2));
        free_.reserve(blocks_.capacity());  // give_back() must not fail
    } catch (const std::bad_alloc&) {
        return false;
    }
    blocks_.emplace_back();
    free_.push_back(static_cast<std::uint32_t>(blocks_.size() - 1));
    return true;
}

lent_space spare_blocks::room() noexcept {
    const std::uint64_t left = limit_ - std::min(limit_, held_);
    if (left == 0 || !has_slot()) return {};
    if (scratch_ == nullptr) scratch_ = allocate(scratch_bytes);
    if (scratch_ == nullptr) return {};
    return {scratch_.get(),
            static_cast<std::uint32_t>(std::min<std::uint64_t>(left, scratch_bytes)),
            free_.back() | mark};
}

lent_piece spare_blocks::lend(std::uint32_t bytes) noexcept {
    const std::uint32_t slot = free_.back();
    free_.pop_back();
    block& lent = blocks_[slot];
    lent.size = bytes;
    if (bytes < scratch_bytes) lent.bytes = allocate(bytes);
    if (lent.bytes != nullptr)
        std::memcpy(lent.bytes.get(), scratch_.get(), bytes);
    else
        lent.bytes = std::move(scratch_);
    held_ += bytes;
    ++lent_;
    return {lent.bytes.get(), slot | mark};
}

void spare_blocks::give_back(std::uint32_t name) noexcept {
    const std::uint32_t slot = name & ~mark;
    require(slot < blocks_.size() && blocks_[slot].bytes != nullptr,
            "a lent buffer is given back once");
    block& back = blocks_[slot];
    held_ -= back.size;
    --lent_;
    back.bytes.reset();
    free_.push_back(slot);
}

}  // namespace lariat::detail
