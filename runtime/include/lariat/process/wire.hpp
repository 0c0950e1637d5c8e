#pragma once

#include <lariat/process/codec_std.hpp>
#include <lariat/process/parcel.hpp>

#include <tuple>
#include <type_traits>
#include <utility>

namespace lariat {

/// What can be an argument, a result or a message between processes.
///
/// Numbers, enumerators, what is its bytes (structs of numbers, chrono's times, std::complex,
/// std::bitset), std::string, the standard containers, optional, pair, tuple, variant and
/// unique_ptr of such, descriptors (unique_fd), Lariat's own handles that say so, and every type
/// with cereal's functions:
///
///     struct order {
///         std::string article;
///         int pieces = 0;
///         template <class Archive>
///         void serialize(Archive& archive) { archive(article, pieces); }
///     };
///
/// Refused are pointers, references, views, iterators, lambdas with captures and shared_ptr, also
/// within others: they name memory of one process. A pointer inside of a struct of plain bytes is
/// not seen; it means nothing on the other side. Comparators, hashes and allocators are made anew.
///
/// Limits       1,000 user types and unique_ptrs within each other; a parcel that is cut short or
///              damaged is a parcel_error
template <class T>
concept transferable = std::is_same_v<T, std::remove_cvref_t<T>> && detail::codec<T>::carried;

namespace detail {

/// Lvalues are copied, rvalues are moved from. Allocation: one for up to 128 bytes.
template <class... Values>
[[nodiscard]] parcel pack(Values&&... values) {
    parcel packed;
    parcel_writer to(packed);
    (write_value(to, std::forward<Values>(values)), ...);
    return packed;
}

/// Errors: parcel_error, also for what is left over.
template <class... Values>
[[nodiscard]] std::tuple<Values...> unpack(parcel&& packed) {
    parcel_reader from(packed);
    std::tuple<Values...> values{read_value<Values>(from)...};
    from.finish();
    return values;
}

}  // namespace detail
}  // namespace lariat
