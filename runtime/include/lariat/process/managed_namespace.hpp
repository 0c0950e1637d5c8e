#pragma once

#include <lariat/process/manager_call.hpp>

#include <any>
#include <concepts>
#include <map>
#include <stdexcept>
#include <string>
#include <tuple>
#include <typeinfo>
#include <utility>
#include <vector>

namespace lariat {

namespace detail {

class served_names {
 public:
    template <class T>
    void set(std::string name, T value) {
        values_.insert_or_assign(std::move(name), std::any(std::move(value)));
    }
    template <class T>
    [[nodiscard]] const T& get(const std::string& name) const {
        const auto found = values_.find(name);
        if (found == values_.end())
            throw std::out_of_range("managed_namespace.get: there is no \"" + name + '"');
        const T* const value = std::any_cast<T>(&found->second);
        if (value == nullptr)
            throw std::invalid_argument("managed_namespace.get: \"" + name + "\" is of type " +
                                        type_name(found->second.type()) + ", not " +
                                        type_name(typeid(T)));
        return *value;
    }
    [[nodiscard]] bool contains(const std::string& name) const { return values_.contains(name); }
    [[nodiscard]] bool erase(const std::string& name) { return values_.erase(name) != 0; }
    [[nodiscard]] std::vector<std::string> names() const {
        std::vector<std::string> all;
        all.reserve(values_.size());
        for (const auto& each : values_) all.push_back(each.first);
        return all;
    }

 private:
    std::map<std::string, std::any> values_;
};

}  // namespace detail

/// Named values of any types, in a manager.
///
///     auto shared = co_await m.make<lariat::managed_namespace>();
///     co_await shared.set<std::string>("greeting", "hello");
///     std::string greeting = co_await shared.get<std::string>("greeting");
///
/// Errors, Cancel, Threads, Lifetime: those of proxy.
class managed_namespace : public detail::proxy_of<managed_namespace, detail::served_names> {
 public:
    using detail::proxy_of<managed_namespace, detail::served_names>::proxy_of;

    /// Also over one of another type.
    template <transferable T>
        requires std::copy_constructible<T>
    [[nodiscard]] auto set(std::string name, T value) const {
        return ask<&body::set<T>>(std::move(name), std::move(value));
    }
    /// Errors: std::out_of_range for a name that is not there; std::invalid_argument, with both
    /// types, if it is of another one.
    template <transferable T>
        requires std::copy_constructible<T>
    [[nodiscard]] auto get(const std::string& name) const {
        return ask<&body::get<T>>(name);
    }
    [[nodiscard]] auto contains(const std::string& name) const {
        return ask<&body::contains>(name);
    }
    /// Returns whether it was there.
    [[nodiscard]] auto erase(const std::string& name) const { return ask<&body::erase>(name); }
    [[nodiscard]] auto names() const { return ask<&body::names>(); }

    /// Library use.
    [[nodiscard]] static std::tuple<> initial() noexcept { return {}; }
};

}  // namespace lariat
