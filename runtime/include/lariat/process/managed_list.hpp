#pragma once

#include <lariat/process/manager_call.hpp>

#include <algorithm>
#include <cstddef>
#include <deque>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace lariat {

namespace detail {

template <class T>
class served_list {
 public:
    explicit served_list(std::vector<T> content) { extend(std::move(content)); }

    void push_back(T item) { items_.push_back(std::move(item)); }
    void extend(std::vector<T> more) {
        for (auto&& each : more) items_.push_back(static_cast<T>(std::move(each)));
    }
    [[nodiscard]] const T& at(std::size_t index) const { return items_[checked(index, size())]; }
    void set(std::size_t index, T item) { items_[checked(index, size())] = std::move(item); }
    void insert(std::size_t index, T item) {
        items_.insert(place(checked(index, size() + 1)), std::move(item));
    }
    [[nodiscard]] T erase(std::size_t index) {
        T taken = std::move(items_[checked(index, size())]);
        items_.erase(place(index));
        return taken;
    }
    [[nodiscard]] std::optional<T> pop_back() {
        std::optional<T> taken;
        if (!items_.empty()) {
            taken.emplace(std::move(items_.back()));
            items_.pop_back();
        }
        return taken;
    }
    [[nodiscard]] std::optional<T> pop_front() {
        std::optional<T> taken;
        if (!items_.empty()) {
            taken.emplace(std::move(items_.front()));
            items_.pop_front();
        }
        return taken;
    }
    void clear() noexcept { items_.clear(); }
    [[nodiscard]] std::size_t size() const noexcept { return items_.size(); }
    [[nodiscard]] std::vector<T> items(std::size_t first, std::size_t count) const {
        first = std::min(first, size());
        count = std::min(count, size() - first);
        return {place(first), place(first + count)};
    }

 private:
    static std::size_t checked(std::size_t index, std::size_t end) {
        if (index >= end)
            throw std::out_of_range("managed_list: index " + std::to_string(index) +
                                    ", and there are " + std::to_string(end));
        return index;
    }
    [[nodiscard]] auto place(std::size_t index) const {
        return items_.begin() + static_cast<std::ptrdiff_t>(index);
    }

    std::deque<T> items_;
};

}  // namespace detail

/// A list that lives in a manager.
///
///     auto names = co_await m.make<lariat::managed_list<std::string>>();
///     co_await names.push_back("pear");
///     std::vector<std::string> all = co_await names.items();
///
/// Each verb is one step. An index that is not there is std::out_of_range. Errors, Cancel, Threads,
/// Lifetime: those of proxy.
template <transferable T>
class managed_list : public detail::proxy_of<managed_list<T>, detail::served_list<T>> {
    using body_type = detail::served_list<T>;

 public:
    using detail::proxy_of<managed_list, body_type>::proxy_of;

    [[nodiscard]] auto push_back(T item) const {
        return this->template ask<&body_type::push_back>(std::move(item));
    }
    [[nodiscard]] auto extend(std::vector<T> more) const {
        return this->template ask<&body_type::extend>(std::move(more));
    }
    [[nodiscard]] auto at(std::size_t index) const {
        return this->template ask<&body_type::at>(index);
    }
    [[nodiscard]] auto set(std::size_t index, T item) const {
        return this->template ask<&body_type::set>(index, std::move(item));
    }
    /// Before the one at `index`, or behind the last.
    [[nodiscard]] auto insert(std::size_t index, T item) const {
        return this->template ask<&body_type::insert>(index, std::move(item));
    }
    /// Returns what was there.
    [[nodiscard]] auto erase(std::size_t index) const {
        return this->template ask<&body_type::erase>(index);
    }
    /// Returns an optional, empty if the list is.
    [[nodiscard]] auto pop_back() const { return this->template ask<&body_type::pop_back>(); }
    [[nodiscard]] auto pop_front() const { return this->template ask<&body_type::pop_front>(); }
    [[nodiscard]] auto clear() const { return this->template ask<&body_type::clear>(); }
    [[nodiscard]] auto size() const { return this->template ask<&body_type::size>(); }
    /// Returns a copy of the items from `first` on, `count` at most, as a std::vector.
    [[nodiscard]] auto items(std::size_t first = 0,
                             std::size_t count = static_cast<std::size_t>(-1)) const {
        return this->template ask<&body_type::items>(first, count);
    }

    /// Library use.
    [[nodiscard]] static std::tuple<std::vector<T>> initial(std::vector<T> content = {}) {
        return {std::move(content)};
    }
};

}  // namespace lariat
