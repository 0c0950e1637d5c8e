#pragma once

#include <lariat/process/archive.hpp>

#include <array>
#include <bit>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <functional>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <ranges>
#include <source_location>
#include <system_error>
#include <type_traits>
#include <typeindex>
#include <typeinfo>
#include <utility>

namespace lariat::detail {

// A codec says of its type:
//
//   carried         it can go in a parcel
//   copies          it can from an lvalue: copied, not moved
//   bulk            its bytes are what goes, and any bytes are one of its values
//   left_to_cereal  cereal finds its functions
//   parts           for a type made of others: those, to name the one that is in the way
//
// and has write(parcel_writer&, U&&), where U is T or const T&, and read(parcel_reader&).

template <class... Parts>
struct part_list {};

struct refused_codec {
    static constexpr bool carried = false;
    static constexpr bool copies = false;
    static constexpr bool bulk = false;
    static constexpr bool left_to_cereal = false;
    using parts = part_list<>;
};

/// Of a type that is made of others.
template <class... Parts>
struct codec_of_parts {
    static constexpr bool carried = (codec<std::remove_const_t<Parts>>::carried && ...);
    static constexpr bool copies = (codec<std::remove_const_t<Parts>>::copies && ...);
    static constexpr bool bulk = false;
    static constexpr bool left_to_cereal = false;
    using parts = part_list<std::remove_const_t<Parts>...>;
};

/// Where the value itself is: a copy of these would name what is in another process.
template <class T>
inline constexpr bool is_reference_like = false;
template <class T>
inline constexpr bool is_reference_like<std::reference_wrapper<T>> = true;
template <class T>
inline constexpr bool is_reference_like<std::initializer_list<T>> = true;
template <class T>
inline constexpr bool is_reference_like<std::shared_ptr<T>> = true;
template <class T>
inline constexpr bool is_reference_like<std::weak_ptr<T>> = true;
template <class T>
inline constexpr bool is_reference_like<std::coroutine_handle<T>> = true;
template <>
inline constexpr bool is_reference_like<std::error_code> = true;
template <>
inline constexpr bool is_reference_like<std::error_condition> = true;
template <>
inline constexpr bool is_reference_like<std::type_index> = true;
template <>
inline constexpr bool is_reference_like<std::source_location> = true;

template <class T>
consteval bool find_points_elsewhere() {
    if constexpr (std::is_pointer_v<T> || std::is_member_pointer_v<T> || std::is_reference_v<T> ||
                  std::is_null_pointer_v<T> || is_reference_like<T>) {
        return true;
    } else if constexpr (std::is_class_v<T>) {
        return std::ranges::view<T> || std::input_or_output_iterator<T>;
    } else {
        return false;
    }
}
template <class T>
concept points_elsewhere = find_points_elsewhere<T>();

template <class T>
concept packs_copied = requires(const T& value, parcel_writer& to) { value.pack_into(to); };
template <class T>
concept packs_itself = requires(T&& value, parcel_writer& to, parcel_reader& from) {
    std::move(value).pack_into(to);
    { T::unpack_from(from) } -> std::same_as<T>;
};

template <class T>
concept has_cereal_functions =
    cereal::traits::is_output_serializable<T, out_archive<false>>::value &&
    cereal::traits::is_input_serializable<T, in_archive>::value;

/// Bytes that may be copied. Lambdas with captures, and what has a reference inside, cannot be made
/// or assigned; they are copyable byte by byte all the same, and would bring pointers along.
template <class T>
concept plain_bytes = std::is_trivially_copyable_v<T> && std::is_move_constructible_v<T> &&
                      (std::is_copy_assignable_v<T> || std::is_move_assignable_v<T> ||
                       std::is_default_constructible_v<T>);

enum class codec_kind { refused, bytes, truth, itself, cereal };

template <class T>
consteval codec_kind choose_codec() {
    if constexpr (std::is_same_v<T, bool>) {
        return codec_kind::truth;
    } else if constexpr (std::is_enum_v<T>) {
        return std::is_same_v<std::underlying_type_t<T>, bool> ? codec_kind::truth
                                                               : codec_kind::bytes;
    } else if constexpr (std::is_arithmetic_v<T>) {
        return codec_kind::bytes;
    } else if constexpr (!std::is_class_v<T> && !std::is_union_v<T>) {
        return codec_kind::refused;
    } else if constexpr (packs_itself<T>) {
        return codec_kind::itself;
    } else if constexpr (is_reference_like<T> || cereal_base<T>) {
        return codec_kind::refused;
    } else if constexpr (has_cereal_functions<T>) {
        return codec_kind::cereal;
    } else if constexpr (!points_elsewhere<T> && plain_bytes<T>) {
        return codec_kind::bytes;
    } else {
        return codec_kind::refused;
    }
}

template <class T, codec_kind Kind = choose_codec<T>()>
struct plain_codec : refused_codec {
    /// Arrays, base classes and the like, inside of `serialize`.
    static constexpr bool left_to_cereal = [] {
        if constexpr (points_elsewhere<T>) {
            return false;
        } else {
            return cereal_base<T> || has_cereal_functions<T>;
        }
    }();
};

/// Numbers, and all that is its bytes. A struct of them is taken as it comes: also a bool or an
/// enumerator in it that no sender could have made.
template <class T>
struct plain_codec<T, codec_kind::bytes> : codec_of_parts<> {
    static constexpr bool bulk = true;

    static void write(parcel_writer& to, const T& value) {
        if constexpr (std::is_empty_v<T>) {  // its bytes were never written (a lambda's one)
            const std::array<std::byte, sizeof(T)> none{};
            to.append(none.data(), none.size());
        } else {
            to.append(std::addressof(value), sizeof(T));
        }
    }
    [[nodiscard]] static T read(parcel_reader& from) {
        if constexpr (std::is_default_constructible_v<T>) {
            T value{};
            from.take(std::addressof(value), sizeof(T), typeid(T));
            return value;
        } else {
            std::array<std::byte, sizeof(T)> bytes;
            from.take(bytes.data(), bytes.size(), typeid(T));
            return std::bit_cast<T>(bytes);
        }
    }
};

template <class T>
struct plain_codec<T, codec_kind::truth> : codec_of_parts<> {
    static void write(parcel_writer& to, T value) {
        const auto byte = static_cast<unsigned char>(value);
        to.append(&byte, 1);
    }
    [[nodiscard]] static T read(parcel_reader& from) {
        unsigned char byte = 0;
        from.take(&byte, 1, typeid(T));
        if (byte > 1) [[unlikely]]
            from.refuse(typeid(T), "neither true nor false");
        return static_cast<T>(byte == 1);
    }
};

template <class T>
struct plain_codec<T, codec_kind::itself> : codec_of_parts<> {
    static constexpr bool copies = packs_copied<T>;

    template <class U>
    static void write(parcel_writer& to, U&& value) {
        std::forward<U>(value).pack_into(to);
    }
    [[nodiscard]] static T read(parcel_reader& from) { return T::unpack_from(from); }
};

template <class T>
struct plain_codec<T, codec_kind::cereal> : codec_of_parts<> {
    static constexpr bool carried =
        std::is_default_constructible_v<T> && std::is_move_constructible_v<T>;
    static constexpr bool copies = std::is_copy_constructible_v<T>;
    static constexpr bool left_to_cereal = true;

    template <class U>
    static void write(parcel_writer& to, U&& value) {
        constexpr bool moves = !std::is_lvalue_reference_v<U> && !std::is_const_v<U>;
        out_archive<moves> archive(to);
        archive(value);
    }
    [[nodiscard]] static T read(parcel_reader& from) {
        T value{};
        try {
            in_archive archive(from);
            archive(value);
        } catch (const cereal::Exception& error) {
            from.refuse(typeid(T), error.what());
        }
        return value;
    }
};

template <class T>
struct codec : plain_codec<T> {};

/// Says in the compiler's output which part of a type is in the way, and what to do.
template <class T>
struct explain {
    static consteval bool transferable() {
        if constexpr (!codec<T>::carried) parts(typename codec<T>::parts());
        return codec<T>::carried;
    }

 private:
    template <class... Parts>
    static consteval void parts(part_list<Parts...>) {
        if constexpr (sizeof...(Parts) != 0) {
            ((void)explain<Parts>::transferable(), ...);
        } else {
            static_assert(
                codec<T>::carried || !points_elsewhere<T>,
                "pointers, references, views and iterators name memory of this process: pass the "
                "value itself (std::string for a const char* or std::string_view, std::vector for "
                "a std::span, std::unique_ptr for a std::shared_ptr)");
            static_assert(
                codec<T>::carried || points_elsewhere<T>,
                "this type cannot go to another process yet: give it a default constructor and "
                "`template <class Archive> void serialize(Archive& archive) { archive(first_, "
                "second_); }` (a lambda with captures: pass what it captures as arguments)");
        }
    }
};

template <class U>
void write_value(parcel_writer& to, U&& value) {
    using type = std::remove_cvref_t<U>;
    constexpr bool is_copied =
        std::is_lvalue_reference_v<U> || std::is_const_v<std::remove_reference_t<U>>;
    if constexpr (explain<type>::transferable()) {
        static_assert(!is_copied || codec<type>::copies,
                      "this value can be moved to another process, not copied: std::move it");
        if constexpr (!is_copied || codec<type>::copies) {
            if constexpr (is_copied) {
                codec<type>::write(to, std::as_const(value));
            } else {
                codec<type>::write(to, std::forward<U>(value));
            }
        }
    }
}

template <class T>
T read_value(parcel_reader& from) {
    return codec<T>::read(from);
}

/// A part of a U: to be moved where U is an rvalue.
template <class U, class Part>
[[nodiscard]] constexpr decltype(auto) part_of(Part& part) noexcept {
    if constexpr (std::is_lvalue_reference_v<U>) {
        return std::as_const(part);
    } else {
        return std::move(part);
    }
}

}  // namespace lariat::detail
