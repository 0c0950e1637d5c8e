#pragma once

#include <lariat/base/config.hpp>
#include <lariat/task/waiter.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace lariat {

/// One value of one task_local, in a chain that parties share: a child begins with its parent's
/// chain and what it sets goes in front of its own.
struct LARIAT_EXPORT local_node {
    local_node(const void* variable, local_node* rest) noexcept : key(variable), next(rest) {}
    virtual ~local_node() = default;

    const void* key;
    local_node* next;
    std::uint32_t refs = 1;
};

/// Takes over `node` and puts it in front of the party's chain, in the place of one of the same key
/// that is the party's alone.
LARIAT_EXPORT void push_local(party& p, local_node& node) noexcept;
[[nodiscard]] LARIAT_EXPORT party& running_party(const char* what) noexcept;
[[nodiscard]] LARIAT_EXPORT const local_node* find_local(const void* key) noexcept;

/// A value of its own for every task; children start with their parent's (as Python's contextvars).
///
/// Threads      one loop
/// Allocation   a node for each set()
///
/// Example      static lariat::task_local<std::string> user;  user.set("li");  *user.get();
template <class T>
class task_local {
 public:
    task_local() = default;
    task_local(const task_local&) = delete;
    task_local& operator=(const task_local&) = delete;

    /// Sets it for the running task and for those it starts from now on.
    void set(T value) {
        party& running = running_party("task_local::set");
        push_local(running, *new node(this, std::move(value)));
    }

    /// The running task's value; null where neither it nor an ancestor has set one. Valid until the
    /// task sets another, or ends.
    [[nodiscard]] const T* get() const noexcept {
        const local_node* found = find_local(this);
        return found != nullptr ? &static_cast<const node*>(found)->value : nullptr;
    }
    [[nodiscard]] T value_or(T otherwise) const {
        const T* found = get();
        return found != nullptr ? *found : std::move(otherwise);
    }

 private:
    struct node final : local_node {
        node(const void* variable, T held)
            : local_node(variable, nullptr), value(std::move(held)) {}
        T value;
    };
};

/// Gives a party a name for reports and dumps. Not inherited.
LARIAT_EXPORT void set_party_name(party& p, std::string name);
/// Empty where it has none. Valid as long as the party and its name.
[[nodiscard]] LARIAT_EXPORT std::string_view party_name(const party& p) noexcept;

/// Names the running task.
inline void set_task_name(std::string name) {
    set_party_name(running_party("set_task_name"), std::move(name));
}

}  // namespace lariat
