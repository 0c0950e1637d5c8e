#include <lariat/base/assert.hpp>
#include <lariat/task/local.hpp>

#include <utility>

namespace lariat {

namespace {

constexpr char name_key = 0;

struct name_node final : local_node {
    name_node(const party& named, std::string text)
        : local_node(&name_key, nullptr), owner(&named), name(std::move(text)) {}

    const party* owner;  ///< children share the chain, not the name; null once the party is gone
    std::string name;
};

name_node* find_name(const party& p) noexcept {
    for (local_node* at = p.locals(); at != nullptr; at = at->next) {
        if (at->key != &name_key) continue;
        auto* named = static_cast<name_node*>(at);
        if (named->owner == &p) return named;
    }
    return nullptr;
}

void release(local_node* chain) noexcept {
    while (chain != nullptr && --chain->refs == 0) delete std::exchange(chain, chain->next);
}

}  // namespace

void drop_locals(party& p) noexcept {
    if (name_node* named = find_name(p)) named->owner = nullptr;
    local_node* const chain = p.locals();
    p.set_locals(nullptr);
    release(chain);
}

void inherit_locals(party& child, const party& parent) noexcept {
    local_node* const chain = parent.locals();
    if (chain == nullptr) return;  // a joiner, and no values
    ++chain->refs;
    child.set_locals(chain);
}

void push_local(party& p, local_node& node) noexcept {
    node.next = p.locals();
    p.set_locals(&node);
    // An older value that no other party sees goes, or a task that sets and sets would keep all.
    for (local_node* at = &node; at->next != nullptr && at->next->refs == 1; at = at->next) {
        if (at->next->key != node.key) continue;
        delete std::exchange(at->next, at->next->next);
        break;
    }
}

party& running_party(const char* what) noexcept {
    party* running = detail::required_scheduler(what).current;
    detail::require(running != nullptr, "only a running task has values and a name of its own");
    return *running;
}

const local_node* find_local(const void* key) noexcept {
    if (this_scheduler == nullptr || this_scheduler->current == nullptr) return nullptr;
    for (const local_node* at = this_scheduler->current->locals(); at != nullptr; at = at->next) {
        if (at->key == key) return at;
    }
    return nullptr;
}

void set_party_name(party& p, std::string name) {
    if (name_node* named = find_name(p)) {
        named->name = std::move(name);
    } else {
        push_local(p, *new name_node(p, std::move(name)));
    }
}

std::string_view party_name(const party& p) noexcept {
    const name_node* named = find_name(p);
    return named != nullptr ? std::string_view(named->name) : std::string_view();
}

}  // namespace lariat
