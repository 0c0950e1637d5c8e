#pragma once

#include <lariat/process/shm/queue_core.hpp>
#include <lariat/process/wire.hpp>

#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <vector>

namespace lariat::detail {

/// Items that are copied into the ring as they are. What has its own way of being packed is not.
template <class T>
inline constexpr bool is_bare_item = [] {
    constexpr codec_kind kind = choose_codec<T>();
    return codec<T>::carried && std::is_trivially_copyable_v<T> && kind != codec_kind::itself &&
           kind != codec_kind::cereal && sizeof(T) <= 1024;
}();

template <class T>
[[nodiscard]] queue_body::shape queue_shape(std::size_t max, std::size_t item_bytes) noexcept {
    queue_body::shape of;
    of.max = max;
    of.bare = is_bare_item<T>;
    constexpr std::size_t most = ~std::uint32_t{0};
    of.payload_bytes = static_cast<std::uint32_t>(of.bare             ? sizeof(T)
                                                  : item_bytes > most ? most
                                                                      : item_bytes);
    of.type = &typeid(T);
    return of;
}

/// The item as a T: itself, or made of what was given.
template <class T, class U>
[[nodiscard]] decltype(auto) as_item(U&& given) {
    if constexpr (std::same_as<std::remove_cvref_t<U>, T>) {
        return std::forward<U>(given);
    } else {
        return T(std::forward<U>(given));
    }
}

/// An item that is to be put, ready for the ring.
template <class T>
class queue_cargo {
 public:
    template <class U>
    queue_cargo(const queue_body&, U&& item) : item_(std::forward<U>(item)) {}

    [[nodiscard]] queue_turn give(queue_body& to, std::uint32_t* value) noexcept {
        queue_item ready;
        ready.bytes = std::addressof(item_);
        return to.give(ready, value);
    }

 private:
    T item_;
};

template <class T>
    requires(!is_bare_item<T>)
class queue_cargo<T> {
 public:
    /// What can be copied is: the caller's stays as it was.
    template <class U>
    queue_cargo(const queue_body& to, U&& item) {
        parcel packed = [&item] {
            if constexpr (codec<T>::copies) {
                return pack(std::as_const(item));
            } else {
                return pack(std::forward<U>(item));
            }
        }();
        if (packed.bytes.size() <= to.of.payload_bytes && packed.references.empty() &&
            packed.descriptors.empty()) {
            bytes_ = std::move(packed.bytes);
        } else {
            box_ = box_item(std::move(packed));
        }
    }

    [[nodiscard]] queue_turn give(queue_body& to, std::uint32_t* value) noexcept {
        queue_item ready;
        ready.bytes = bytes_.data();
        ready.size = static_cast<std::uint32_t>(bytes_.size());
        ready.box = box_.id();
        const queue_turn ended = to.give(ready, value);
        if (ended == queue_turn::done) (void)box_.release();
        return ended;
    }

 private:
    std::vector<std::byte> bytes_;
    transit_ref box_;
};

/// Where an item comes to that is taken.
template <class T>
class queue_landing {
 public:
    explicit queue_landing(const queue_body&) noexcept {}

    [[nodiscard]] queue_place& reset() noexcept {
        place_.bytes = bytes_.data();
        return place_;
    }
    [[nodiscard]] T item() const noexcept { return std::bit_cast<T>(bytes_); }

 private:
    alignas(T) std::array<std::byte, sizeof(T)> bytes_{};
    queue_place place_;
};

template <class T>
    requires(!is_bare_item<T>)
class queue_landing<T> {
 public:
    explicit queue_landing(const queue_body& from)
        : bytes_(std::make_unique_for_overwrite<std::byte[]>(from.of.payload_bytes)) {}
    queue_landing(queue_landing&& other) noexcept = default;
    ~queue_landing() { const transit_ref unread(place_.box); }

    [[nodiscard]] queue_place& reset() noexcept {
        place_.bytes = bytes_.get();
        return place_;
    }
    [[nodiscard]] T item() {
        if (place_.box == 0) {
            parcel_reader from(std::span<const std::byte>(bytes_.get(), place_.size));
            return whole(from);
        }
        opened_box box(std::exchange(place_.box, 0));
        parcel_reader from = box.reader();
        return whole(from);
    }

 private:
    [[nodiscard]] static T whole(parcel_reader& from) {
        T item = read_value<T>(from);
        from.finish();
        return item;
    }

    std::unique_ptr<std::byte[]> bytes_;
    queue_place place_;
};

}  // namespace lariat::detail
