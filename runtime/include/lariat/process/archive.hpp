#pragma once

#include <lariat/process/parcel.hpp>

#include <cereal/cereal.hpp>
#include <cereal/types/string.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <typeinfo>
#include <utility>

namespace lariat::detail {

/// How values of a type go into parcels and come out; see codec.hpp.
template <class T>
struct codec;
template <class U>
void write_value(parcel_writer& to, U&& value);
template <class T>
[[nodiscard]] T read_value(parcel_reader& from);

/// A value with a name, or for the end: both go as the value, where they stand.
template <class V>
concept cereal_pair = std::is_base_of_v<cereal::detail::NameValuePairCore, V> ||
                      std::is_base_of_v<cereal::detail::DeferredDataCore, V>;
template <class V>
concept cereal_base = std::is_base_of_v<cereal::traits::detail::BaseCastBase, V>;
template <class V>
inline constexpr bool is_cereal_size = false;
template <class V>
inline constexpr bool is_cereal_size<cereal::SizeTag<V>> = true;
template <class V>
inline constexpr bool is_cereal_bytes = false;
template <class V>
inline constexpr bool is_cereal_bytes<cereal::BinaryData<V>> = true;

/// What `serialize` and `save` of a user's type see. Every member passes through our own codecs;
/// cereal chooses among the user's functions, and keeps versions and base classes.
///
/// With Moves the value is not needed afterwards: members that can only be moved are taken from it.
template <bool Moves>
class out_archive : public cereal::OutputArchive<out_archive<Moves>> {
    using base = cereal::OutputArchive<out_archive>;

 public:
    explicit out_archive(parcel_writer& to) : base(this), to_(to) {}

    template <class... Values>
    out_archive& operator()(Values&&... values) {
        (put(values), ...);
        return *this;
    }
    template <class Value>
    out_archive& operator&(Value&& value) {
        put(value);
        return *this;
    }
    template <class Value>
    out_archive& operator<<(Value&& value) {
        put(value);
        return *this;
    }

 private:
    template <class V>
    void put(V& value) {
        using type = std::remove_const_t<V>;
        if constexpr (cereal_pair<type>) {
            put(value.value);
        } else if constexpr (is_cereal_size<type>) {
            to_.append_size(static_cast<std::size_t>(value.size));
        } else if constexpr (is_cereal_bytes<type>) {
            to_.append(value.data, static_cast<std::size_t>(value.size));
        } else if constexpr (codec<type>::left_to_cereal) {
            const parcel_depth deeper(to_.depth(), typeid(type));
            put_by_cereal<type>(value);
        } else if constexpr (Moves && !std::is_const_v<V>) {
            write_value(to_, std::move(value));
        } else {
            write_value(to_, std::as_const(value));
        }
    }

    // cereal keeps the versions it has met in a table of the process that no lock guards, and sends
    // them along; in a family, both sides know them.
    template <class V>
    void put_by_cereal(const V& value) {
        const std::uint32_t version = cereal::detail::Version<V>::version;
        if constexpr (cereal::traits::has_member_versioned_serialize<V, out_archive>::value) {
            cereal::access::member_serialize(*this, const_cast<V&>(value), version);
        } else if constexpr (cereal::traits::has_non_member_versioned_serialize<
                                 V, out_archive>::value) {
            CEREAL_SERIALIZE_FUNCTION_NAME(*this, const_cast<V&>(value), version);
        } else if constexpr (cereal::traits::has_member_versioned_save<V, out_archive>::value) {
            cereal::access::member_save(*this, value, version);
        } else if constexpr (cereal::traits::has_non_member_versioned_save<V, out_archive>::value) {
            CEREAL_SAVE_FUNCTION_NAME(*this, value, version);
        } else {
            base::operator()(value);
        }
    }

    parcel_writer& to_;
};

class in_archive : public cereal::InputArchive<in_archive> {
    using base = cereal::InputArchive<in_archive>;

 public:
    explicit in_archive(parcel_reader& from) : base(this), from_(from) {}

    template <class... Values>
    in_archive& operator()(Values&&... values) {
        (get(values), ...);
        return *this;
    }
    template <class Value>
    in_archive& operator&(Value&& value) {
        get(value);
        return *this;
    }
    template <class Value>
    in_archive& operator>>(Value&& value) {
        get(value);
        return *this;
    }

 private:
    template <class V>
    void get(V& value) {
        if constexpr (cereal_pair<V>) {
            get(value.value);
        } else if constexpr (is_cereal_size<V>) {
            value.size = static_cast<std::remove_reference_t<decltype(value.size)>>(
                from_.take_size(1, typeid(V)));
        } else if constexpr (is_cereal_bytes<V>) {
            from_.take(value.data, static_cast<std::size_t>(value.size), typeid(V));
        } else if constexpr (codec<V>::left_to_cereal) {
            const parcel_depth deeper(from_.depth(), typeid(V));
            get_by_cereal(value);
        } else {
            value = read_value<V>(from_);
        }
    }

    template <class V>
    void get_by_cereal(V& value) {
        const std::uint32_t version = cereal::detail::Version<V>::version;
        if constexpr (cereal::traits::has_member_versioned_serialize<V, in_archive>::value) {
            cereal::access::member_serialize(*this, value, version);
        } else if constexpr (cereal::traits::has_non_member_versioned_serialize<
                                 V, in_archive>::value) {
            CEREAL_SERIALIZE_FUNCTION_NAME(*this, value, version);
        } else if constexpr (cereal::traits::has_member_versioned_load<V, in_archive>::value) {
            cereal::access::member_load(*this, value, version);
        } else if constexpr (cereal::traits::has_non_member_versioned_load<V, in_archive>::value) {
            CEREAL_LOAD_FUNCTION_NAME(*this, value, version);
        } else {
            base::operator()(value);
        }
    }

    parcel_reader& from_;
};

// What cereal's own machinery puts into an archive by itself: versions, sizes, minimal forms.
template <class V>
concept cereal_piece =
    cereal_pair<V> || is_cereal_size<V> || is_cereal_bytes<V> || std::is_arithmetic_v<V>;

template <bool Moves, cereal_piece V>
void CEREAL_SAVE_FUNCTION_NAME(out_archive<Moves>& archive, const V& piece) {
    archive(piece);
}
template <cereal_piece V>
void CEREAL_LOAD_FUNCTION_NAME(in_archive& archive, V& piece) {
    archive(piece);
}

}  // namespace lariat::detail

// cereal asks which archives belong together, for types with save_minimal and load_minimal.
template <>
struct cereal::traits::detail::get_output_from_input<lariat::detail::in_archive> {
    using type = lariat::detail::out_archive<false>;
};
template <bool Moves>
struct cereal::traits::detail::get_input_from_output<lariat::detail::out_archive<Moves>> {
    using type = lariat::detail::in_archive;
};
