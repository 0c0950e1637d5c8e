#include <lariat/net/lent_bytes.hpp>

#include <cstring>
#include <new>
#include <utility>

namespace lariat {

lent_bytes::lent_bytes() noexcept : io_object(&lent_bytes::loop_closes) {}

lent_bytes::lent_bytes(const detail::segment& taken) noexcept : lent_bytes() {
    held_ = taken;
    if (held_.lent != 0) attach();
}

lent_bytes::lent_bytes(lent_bytes&& other) noexcept : lent_bytes() { take(other); }

lent_bytes& lent_bytes::operator=(lent_bytes&& other) noexcept {
    if (this != &other) {
        release();
        take(other);
    }
    return *this;
}

void lent_bytes::take(lent_bytes& other) noexcept {
    held_ = std::exchange(other.held_, detail::segment());
    if (other.attached()) succeed(other);
}

void lent_bytes::release() noexcept {
    if (held_.lent != 0) give_back(held_.lent);
    ::operator delete(held_.block);
    held_ = detail::segment();
    if (attached()) detach();
}

void lent_bytes::loop_closes(detail::io_object& self) noexcept {
    auto& mine = static_cast<lent_bytes&>(self);
    detail::segment& held = mine.held_;
    detail::segment copy;
    copy.block = static_cast<std::byte*>(::operator new(held.size, std::nothrow));
    if (copy.block != nullptr) {
        copy.data = static_cast<std::byte*>(std::memcpy(copy.block, held.data, held.size));
        copy.size = held.size;
    }
    mine.give_back(held.lent);
    held = copy;
    mine.detach();
}

}  // namespace lariat
