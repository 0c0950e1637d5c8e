#pragma once

#include <lariat/process/manager_call.hpp>

#include <cstddef>
#include <map>
#include <optional>
#include <stdexcept>
#include <tuple>
#include <utility>
#include <vector>

namespace lariat {

namespace detail {

template <class K, class V>
class served_dict {
 public:
    explicit served_dict(std::map<K, V> content) : items_(std::move(content)) {}

    void set(K key, V value) { items_.insert_or_assign(std::move(key), std::move(value)); }
    [[nodiscard]] std::optional<V> get(const K& key) const {
        const auto found = items_.find(key);
        return found != items_.end() ? std::optional<V>(found->second) : std::nullopt;
    }
    [[nodiscard]] const V& at(const K& key) const {
        const auto found = items_.find(key);
        if (found == items_.end()) throw std::out_of_range("managed_dict.at: no such key");
        return found->second;
    }
    [[nodiscard]] const V& set_default(K key, V value) {
        return items_.try_emplace(std::move(key), std::move(value)).first->second;
    }
    [[nodiscard]] bool contains(const K& key) const { return items_.contains(key); }
    [[nodiscard]] bool erase(const K& key) { return items_.erase(key) != 0; }
    [[nodiscard]] std::optional<V> pop(const K& key) {
        auto node = items_.extract(key);
        return node ? std::optional<V>(std::move(node.mapped())) : std::nullopt;
    }
    void update(std::map<K, V> with) {
        with.merge(items_);  // what both have is taken from `with`
        items_ = std::move(with);
    }
    void clear() noexcept { items_.clear(); }
    [[nodiscard]] std::size_t size() const noexcept { return items_.size(); }
    [[nodiscard]] std::map<K, V> items() const { return items_; }
    [[nodiscard]] std::vector<K> keys() const {
        std::vector<K> all;
        all.reserve(items_.size());
        for (const auto& each : items_) all.push_back(each.first);
        return all;
    }

 private:
    std::map<K, V> items_;
};

}  // namespace detail

/// A map that lives in a manager. K is ordered by <.
///
///     auto stock = co_await m.make<lariat::managed_dict<std::string, int>>();
///     co_await stock.set("pear", 3);
///     std::optional<int> pears = co_await stock.get("pear");
///
/// Each verb is one step: none sees another's half done. Errors, Cancel, Threads, Lifetime: those
/// of proxy.
template <transferable K, transferable V>
class managed_dict : public detail::proxy_of<managed_dict<K, V>, detail::served_dict<K, V>> {
    using body_type = detail::served_dict<K, V>;

 public:
    using detail::proxy_of<managed_dict, body_type>::proxy_of;

    [[nodiscard]] auto set(K key, V value) const {
        return this->template ask<&body_type::set>(std::move(key), std::move(value));
    }
    /// Returns an optional, empty if there is no such key.
    [[nodiscard]] auto get(const K& key) const { return this->template ask<&body_type::get>(key); }
    /// Errors: std::out_of_range if there is no such key.
    [[nodiscard]] auto at(const K& key) const { return this->template ask<&body_type::at>(key); }
    /// Returns what is there; `value`, put there now, if there was nothing.
    [[nodiscard]] auto set_default(K key, V value) const {
        return this->template ask<&body_type::set_default>(std::move(key), std::move(value));
    }
    [[nodiscard]] auto contains(const K& key) const {
        return this->template ask<&body_type::contains>(key);
    }
    /// Returns whether it was there.
    [[nodiscard]] auto erase(const K& key) const {
        return this->template ask<&body_type::erase>(key);
    }
    /// Takes it out · Returns an optional, empty if there was no such key.
    [[nodiscard]] auto pop(const K& key) const { return this->template ask<&body_type::pop>(key); }
    /// Sets all of them.
    [[nodiscard]] auto update(std::map<K, V> with) const {
        return this->template ask<&body_type::update>(std::move(with));
    }
    [[nodiscard]] auto clear() const { return this->template ask<&body_type::clear>(); }
    [[nodiscard]] auto size() const { return this->template ask<&body_type::size>(); }
    /// Returns a copy, as a std::map.
    [[nodiscard]] auto items() const { return this->template ask<&body_type::items>(); }
    [[nodiscard]] auto keys() const { return this->template ask<&body_type::keys>(); }

    /// Library use.
    [[nodiscard]] static std::tuple<std::map<K, V>> initial(std::map<K, V> content = {}) {
        return {std::move(content)};
    }
};

}  // namespace lariat
