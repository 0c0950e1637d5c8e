#pragma once

#include <lariat/process/parcel.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>

namespace lariat {

/// What another process threw, of a type that only has a name here. Those of the standard library
/// that are made of a text (std::invalid_argument ...), std::bad_alloc, std::system_error with a
/// code of the system's, and Lariat's own (timeout_error ...) come as themselves, with their text.
class LARIAT_EXPORT remote_error : public std::runtime_error {
 public:
    remote_error(std::string_view type, std::string_view text);
    ~remote_error() override;

    /// As in the source: "shop::sold_out"; "int" for a thrown number.
    [[nodiscard]] std::string_view type() const noexcept { return whole().substr(0, type_bytes_); }
    /// Its what(), if it had one; what() of this one is "type: text".
    [[nodiscard]] std::string_view text() const noexcept;

 private:
    [[nodiscard]] std::string_view whole() const noexcept { return what(); }

    std::size_t type_bytes_;
};

namespace detail {

/// An exception on its way.
struct LARIAT_EXPORT exception_record {
    std::string type;
    std::string text;
    std::string category;        ///< of a std::system_error or one derived from it; else empty
    std::int64_t number = 0;     ///< its code
    std::uint64_t received = 0;  ///< incomplete_read's

    void pack_into(parcel_writer& to) const;
    [[nodiscard]] static exception_record unpack_from(parcel_reader& from);
};

/// Pre: not null.
[[nodiscard]] LARIAT_EXPORT exception_record carry(const std::exception_ptr& thrown);
[[nodiscard]] LARIAT_EXPORT std::exception_ptr revive(const exception_record& record);

}  // namespace detail
}  // namespace lariat
