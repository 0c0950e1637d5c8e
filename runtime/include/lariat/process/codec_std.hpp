#pragma once

#include <lariat/base/unique_fd.hpp>
#include <lariat/process/codec.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <type_traits>
#include <typeinfo>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

namespace lariat::detail {

/// An item of many: a byte at least, so that no parcel can announce more items than it has bytes.
template <class U>
void write_item(parcel_writer& to, U&& item) {
    const std::size_t before = to.position();
    write_value(to, std::forward<U>(item));
    if (to.position() == before) to.append("", 1);
}
template <class T>
[[nodiscard]] T read_item(parcel_reader& from) {
    if constexpr (codec<T>::bulk) {
        return read_value<T>(from);
    } else {
        const std::size_t before = from.position();
        T item = read_value<T>(from);
        if (from.position() == before) {
            char nothing = 0;
            from.take(&nothing, 1, typeid(T));
        }
        return item;
    }
}

/// Room for what is announced, but for no more bytes than the parcel has: the rest comes if it
/// comes.
template <class Item, class Container>
void make_room(Container& items, std::size_t count, const parcel_reader& from) {
    if constexpr (requires { items.reserve(count); })
        items.reserve(std::min(count, from.left() / sizeof(Item) + 1));
}

template <class Container, class Item>
struct sequence_codec : codec_of_parts<Item> {
    template <class U>
    static void write(parcel_writer& to, U&& items) {
        to.append_size(items.size());
        for (auto& item : items) write_item(to, part_of<U>(item));
    }
    [[nodiscard]] static Container read(parcel_reader& from) {
        std::size_t count = from.take_size(1, typeid(Container));
        Container items;
        make_room<Item>(items, count, from);
        for (; count != 0; --count) items.insert(items.end(), read_item<Item>(from));
        return items;
    }
};

template <class Container, class Key, class Value>
struct map_codec : codec_of_parts<Key, Value> {
    template <class U>
    static void write(parcel_writer& to, U&& items) {
        to.append_size(items.size());
        for (auto& [key, value] : items) {
            write_item(to, key);
            write_value(to, part_of<U>(value));
        }
    }
    [[nodiscard]] static Container read(parcel_reader& from) {
        std::size_t count = from.take_size(1, typeid(Container));
        Container items;
        make_room<typename Container::value_type>(items, count, from);
        for (; count != 0; --count) {
            Key key = read_item<Key>(from);
            items.emplace_hint(items.end(), std::move(key), read_value<Value>(from));
        }
        return items;
    }
};

/// Items that lie side by side: one copy, if their bytes are what goes.
template <class Container, class Item>
struct block_codec : sequence_codec<Container, Item> {
    using one_by_one = sequence_codec<Container, Item>;
    static constexpr bool at_once = codec<Item>::bulk && std::is_default_constructible_v<Item>;

    template <class U>
    static void write(parcel_writer& to, U&& items) {
        if constexpr (at_once) {
            to.append_size(items.size());
            to.append(items.data(), items.size() * sizeof(Item));
        } else {
            one_by_one::write(to, std::forward<U>(items));
        }
    }
    [[nodiscard]] static Container read(parcel_reader& from) {
        if constexpr (at_once) {
            const std::size_t count = from.take_size(sizeof(Item), typeid(Container));
            Container items(count, Item());
            from.take(items.data(), count * sizeof(Item), typeid(Container));
            return items;
        } else {
            return one_by_one::read(from);
        }
    }
};

template <class T, class A>
struct codec<std::vector<T, A>> : block_codec<std::vector<T, A>, T> {};
template <class C, class T, class A>
struct codec<std::basic_string<C, T, A>> : block_codec<std::basic_string<C, T, A>, C> {};
template <class T, class A>
struct codec<std::deque<T, A>> : sequence_codec<std::deque<T, A>, T> {};
template <class T, class A>
struct codec<std::list<T, A>> : sequence_codec<std::list<T, A>, T> {};
template <class T, class C, class A>
struct codec<std::set<T, C, A>> : sequence_codec<std::set<T, C, A>, T> {};
template <class T, class C, class A>
struct codec<std::multiset<T, C, A>> : sequence_codec<std::multiset<T, C, A>, T> {};
template <class T, class H, class E, class A>
struct codec<std::unordered_set<T, H, E, A>> : sequence_codec<std::unordered_set<T, H, E, A>, T> {};
template <class T, class H, class E, class A>
struct codec<std::unordered_multiset<T, H, E, A>>
    : sequence_codec<std::unordered_multiset<T, H, E, A>, T> {};
template <class K, class V, class C, class A>
struct codec<std::map<K, V, C, A>> : map_codec<std::map<K, V, C, A>, K, V> {};
template <class K, class V, class C, class A>
struct codec<std::multimap<K, V, C, A>> : map_codec<std::multimap<K, V, C, A>, K, V> {};
template <class K, class V, class H, class E, class A>
struct codec<std::unordered_map<K, V, H, E, A>>
    : map_codec<std::unordered_map<K, V, H, E, A>, K, V> {};
template <class K, class V, class H, class E, class A>
struct codec<std::unordered_multimap<K, V, H, E, A>>
    : map_codec<std::unordered_multimap<K, V, H, E, A>, K, V> {};

template <class A>
struct codec<std::vector<bool, A>> : codec_of_parts<> {
    static void write(parcel_writer& to, const std::vector<bool, A>& bits) {
        to.append_size(bits.size());
        for (const bool bit : bits) write_value(to, bit);
    }
    [[nodiscard]] static std::vector<bool, A> read(parcel_reader& from) {
        std::vector<bool, A> bits(from.take_size(1, typeid(bits)));
        for (auto bit : bits) bit = read_value<bool>(from);
        return bits;
    }
};

template <class T, std::size_t N>
struct codec<std::array<T, N>> : codec_of_parts<T> {
    static constexpr bool bulk = N != 0 && codec<T>::bulk;

    template <class U>
    static void write(parcel_writer& to, U&& items) {
        if constexpr (bulk) {
            to.append(items.data(), sizeof(items));
        } else {
            for (auto& item : items) write_value(to, part_of<U>(item));
        }
    }
    [[nodiscard]] static std::array<T, N> read(parcel_reader& from) {
        if constexpr (std::is_default_constructible_v<T>) {
            std::array<T, N> items{};
            if constexpr (bulk) {
                from.take(items.data(), sizeof(items), typeid(items));
            } else {
                for (T& item : items) item = read_value<T>(from);
            }
            return items;
        } else {
            return [&]<std::size_t... I>(std::index_sequence<I...>) {
                return std::array<T, N>{((void)I, read_value<T>(from))...};
            }(std::make_index_sequence<N>());
        }
    }
};

template <class A, class B>
struct codec<std::pair<A, B>> : codec_of_parts<A, B> {
    template <class U>
    static void write(parcel_writer& to, U&& both) {
        write_value(to, part_of<U>(both.first));
        write_value(to, part_of<U>(both.second));
    }
    [[nodiscard]] static std::pair<A, B> read(parcel_reader& from) {
        auto first = read_value<std::remove_const_t<A>>(from);
        return {std::move(first), read_value<std::remove_const_t<B>>(from)};
    }
};

template <class... Parts>
struct codec<std::tuple<Parts...>> : codec_of_parts<Parts...> {
    template <class U>
    static void write(parcel_writer& to, U&& all) {
        std::apply([&](auto&... parts) { (write_value(to, part_of<U>(parts)), ...); }, all);
    }
    // A braced list is read from left to right.
    [[nodiscard]] static std::tuple<Parts...> read(parcel_reader& from) {
        return std::tuple<Parts...>{read_value<std::remove_const_t<Parts>>(from)...};
    }
};

template <class T>
struct codec<std::optional<T>> : codec_of_parts<T> {
    template <class U>
    static void write(parcel_writer& to, U&& maybe) {
        write_value(to, maybe.has_value());
        if (maybe.has_value()) write_value(to, part_of<U>(*maybe));
    }
    [[nodiscard]] static std::optional<T> read(parcel_reader& from) {
        std::optional<T> maybe;
        if (read_value<bool>(from)) maybe.emplace(read_value<std::remove_const_t<T>>(from));
        return maybe;
    }
};

/// Errors: std::bad_variant_access for one that lost its value to an exception.
template <class... Parts>
struct codec<std::variant<Parts...>> : codec_of_parts<Parts...> {
    using type = std::variant<Parts...>;

    template <class U>
    static void write(parcel_writer& to, U&& one) {
        if (one.valueless_by_exception()) throw std::bad_variant_access();
        write_value(to, static_cast<std::uint32_t>(one.index()));
        std::visit([&](auto& part) { write_value(to, part_of<U>(part)); }, one);
    }
    [[nodiscard]] static type read(parcel_reader& from) {
        const auto index = read_value<std::uint32_t>(from);
        if (index >= sizeof...(Parts)) from.refuse(typeid(type), "no alternative of that number");
        return [&]<std::size_t... I>(std::index_sequence<I...>) {
            constexpr std::array readers{&read_one<I>...};
            return readers[index](from);
        }(std::index_sequence_for<Parts...>());
    }

 private:
    template <std::size_t I>
    static type read_one(parcel_reader& from) {
        return type(std::in_place_index<I>,
                    read_value<std::remove_const_t<std::variant_alternative_t<I, type>>>(from));
    }
};

/// Goes with what it owns. To a base class: refused, the parcel would carry the base alone.
template <class T>
    requires(std::is_object_v<T> && !std::is_array_v<T> &&
             (!std::is_polymorphic_v<T> || std::is_final_v<T>))
struct codec<std::unique_ptr<T>> : codec_of_parts<T> {
    static constexpr bool copies = false;

    static void write(parcel_writer& to, std::unique_ptr<T>&& owner) {
        const parcel_depth deeper(to.depth(), typeid(owner));
        write_value(to, owner != nullptr);
        if (owner != nullptr) write_value(to, std::move(*owner));
    }
    [[nodiscard]] static std::unique_ptr<T> read(parcel_reader& from) {
        const parcel_depth deeper(from.depth(), typeid(std::unique_ptr<T>));
        if (!read_value<bool>(from)) return nullptr;
        return std::make_unique<T>(read_value<std::remove_const_t<T>>(from));
    }
};

/// Moves: the parcel owns the descriptor, then the other process.
template <>
struct codec<unique_fd> : codec_of_parts<> {
    static constexpr bool copies = false;

    static void write(parcel_writer& to, unique_fd&& descriptor) {
        write_value(to, static_cast<bool>(descriptor));
        if (descriptor) to.attach(std::move(descriptor));
    }
    [[nodiscard]] static unique_fd read(parcel_reader& from) {
        return read_value<bool>(from) ? from.take_descriptor(typeid(unique_fd)) : unique_fd();
    }
};

}  // namespace lariat::detail
