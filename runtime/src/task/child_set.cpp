#include <lariat/task/child_set.hpp>

#include <utility>
#include <vector>

namespace lariat::detail {

const wait_kind children_wait{"its children to end", [](waiter&) noexcept {}};

child_set::~child_set() { let_failed_go(); }

void child_set::let_failed_go() noexcept {
    while (any_failed()) failed_.pop_front().drop_ref();
}

void child_set::throw_failures(std::exception_ptr before) {
    // The parties may lie beside this set and go before it: none may stay on its list.
    struct leaver {
        child_set& set;
        ~leaver() { set.let_failed_go(); }
    } const leave{*this};
    std::vector<std::exception_ptr> errors;
    if (before) errors.push_back(std::move(before));
    for (party& p : failed_) errors.push_back(promise_base::of(p.leaf).failure());
    throw_all(std::move(errors));
}

void child_set::fail_fast(group_core& group, party& p) noexcept {
    if (p.outcome != party_outcome::error) return;
    static_cast<child_set&>(group).keep_failed(p);
    group.cancel();
}

}  // namespace lariat::detail
