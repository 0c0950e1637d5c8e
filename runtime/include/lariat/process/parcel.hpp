#pragma once

#include <lariat/base/config.hpp>
#include <lariat/base/unique_fd.hpp>
#include <lariat/process/transit.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <system_error>
#include <typeinfo>
#include <vector>

namespace lariat {

/// What came from another process is not what was to be read: too short, too long, or senseless.
class LARIAT_EXPORT parcel_error : public std::system_error {
 public:
    explicit parcel_error(const std::string& what);
    ~parcel_error() override;
};

namespace detail {

/// What goes from one process to another: bytes, and what bytes cannot carry.
struct parcel {
    std::vector<std::byte> bytes;
    std::vector<unique_fd> descriptors;
    std::vector<transit_ref> references;
};

/// A parcel's bytes that several read, and nobody changes.
using shared_bytes = std::shared_ptr<const std::vector<std::byte>>;

/// As it stands in the source; for messages.
[[nodiscard]] LARIAT_EXPORT std::string type_name(const std::type_info& type);

/// How deep user types and pointers may lie within each other: a list by `next` pointers, say. Both
/// sides go that deep on their stacks.
inline constexpr std::size_t max_parcel_depth = 1000;
[[noreturn]] LARIAT_EXPORT void refuse_depth(const std::type_info& type);

class parcel_depth {
 public:
    parcel_depth(std::size_t& depth, const std::type_info& type) : depth_(depth) {
        if (depth_ >= max_parcel_depth) [[unlikely]]
            refuse_depth(type);
        ++depth_;
    }
    parcel_depth(const parcel_depth&) = delete;
    parcel_depth& operator=(const parcel_depth&) = delete;
    ~parcel_depth() { --depth_; }

 private:
    std::size_t& depth_;
};

/// Fills a parcel. A type of Lariat's that takes part in its own way has
///
///     void pack_into(detail::parcel_writer& to) const;   // or &&: it can be moved only
///     static T unpack_from(detail::parcel_reader& from);
///
/// Allocation   as the parcel's vectors; the first bytes make room for `first_room`
class LARIAT_EXPORT parcel_writer {
 public:
    explicit parcel_writer(parcel& into) noexcept : into_(into) {}

    void append(const void* data, std::size_t bytes) {
        std::vector<std::byte>& all = into_.bytes;
        if (all.capacity() - all.size() < bytes) [[unlikely]]
            make_room(bytes);
        const auto* first = static_cast<const std::byte*>(data);
        all.insert(all.end(), first, first + bytes);
    }
    /// How many items follow, in eight bytes.
    void append_size(std::size_t items) {
        const std::uint64_t wide = items;
        append(&wide, sizeof wide);
    }
    void attach(unique_fd descriptor) { into_.descriptors.push_back(std::move(descriptor)); }
    void attach(transit_ref reference) { into_.references.push_back(std::move(reference)); }

    [[nodiscard]] std::size_t position() const noexcept { return into_.bytes.size(); }
    [[nodiscard]] std::size_t& depth() noexcept { return depth_; }

 private:
    static constexpr std::size_t first_room = 128;
    static constexpr std::size_t large_block = 4096;
    void make_room(std::size_t bytes);

    parcel& into_;
    std::size_t depth_ = 0;
};

/// Takes a parcel apart, in the order in which it was filled. `type` says what is being read; it
/// only serves the message.
///
/// Lifetime     the bytes outlive it; what is not taken stays where it is
/// Threads      one
class LARIAT_EXPORT parcel_reader {
 public:
    explicit parcel_reader(parcel& from) noexcept
        : parcel_reader(from.bytes, from.descriptors, from.references) {}
    explicit parcel_reader(std::span<const std::byte> bytes, std::span<unique_fd> descriptors = {},
                           std::span<transit_ref> references = {}) noexcept
        : bytes_(bytes), descriptors_(descriptors), references_(references) {}

    /// Errors (all that take): parcel_error, and nothing was taken.
    void take(void* into, std::size_t bytes, const std::type_info& type) {
        if (bytes > left()) [[unlikely]]
            refuse_short(bytes, type);
        if (bytes != 0) std::memcpy(into, bytes_.data() + position_, bytes);
        position_ += bytes;
    }
    /// How many items follow. Each has `item_bytes` at least, and as many are there.
    [[nodiscard]] std::size_t take_size(std::size_t item_bytes, const std::type_info& type) {
        std::uint64_t items = 0;
        take(&items, sizeof items, type);
        if (items > left() / item_bytes) [[unlikely]]
            refuse_size(items, type);
        return items;
    }
    [[nodiscard]] unique_fd take_descriptor(const std::type_info& type);
    [[nodiscard]] transit_ref take_reference(const std::type_info& type);

    [[nodiscard]] std::size_t position() const noexcept { return position_; }
    [[nodiscard]] std::size_t left() const noexcept { return bytes_.size() - position_; }
    [[nodiscard]] std::size_t& depth() noexcept { return depth_; }

    /// Errors: parcel_error if anything is left.
    void finish() const;
    [[noreturn]] void refuse(const std::type_info& type, const std::string& why) const;

 private:
    [[noreturn]] void refuse_short(std::size_t bytes, const std::type_info& type) const;
    [[noreturn]] void refuse_size(std::uint64_t items, const std::type_info& type);

    std::span<const std::byte> bytes_;
    std::span<unique_fd> descriptors_;
    std::span<transit_ref> references_;
    std::size_t position_ = 0;
    std::size_t next_descriptor_ = 0;
    std::size_t next_reference_ = 0;
    std::size_t depth_ = 0;
};

}  // namespace detail
}  // namespace lariat
