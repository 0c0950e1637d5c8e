#include <lariat/task/local.hpp>
#include <lariat/task/promise.hpp>
#include <lariat/task/trace.hpp>

#include <algorithm>
#include <cstddef>
#include <source_location>
#include <string_view>
#include <utility>
#include <vector>

namespace lariat {

namespace {

// Where the parentheses open that close at `close`.
std::size_t opening(std::string_view text, std::size_t close) noexcept {
    std::size_t depth = 0;
    for (std::size_t at = close + 1; at-- != 0;) {
        if (text[at] == ')') ++depth;
        if (text[at] == '(' && --depth == 0) return at;
    }
    return std::string_view::npos;
}

// GCC calls the body of a coroutine "void app::f(f(int)::_ZN3app1fEi.Frame*)"; returns
// "app::f(int)". A lambda is "void
// g()::<lambda(int)>::operator()(g()::<lambda(int)>::_Z....Frame*)".
std::string user_words(std::string_view name) {
    constexpr std::string_view mark = ".Frame*)";
    if (!name.ends_with(mark)) return std::string(name);
    const std::size_t open = opening(name, name.size() - 1);
    const std::size_t mangled = name.rfind("::_Z");
    if (open == std::string_view::npos || mangled == std::string_view::npos || mangled <= open)
        return std::string(name);
    const std::string_view inside = name.substr(open + 1, mangled - open - 1);
    const std::size_t close = inside.rfind(')');
    if (inside.ends_with('>') || close == std::string_view::npos) return std::string(inside);
    const std::size_t parameters = opening(inside, close);
    if (parameters == std::string_view::npos) return std::string(inside);
    std::string_view function = name.substr(0, open);
    if (function.starts_with("void ")) function.remove_prefix(5);
    return std::string(function) + std::string(inside.substr(parameters));
}

const char* word(party_state state) noexcept {
    switch (state) {
        case party_state::fresh: return "has not begun";
        case party_state::ready: return "is ready";
        case party_state::running: return "is running";
        case party_state::parked: return "waits for ";
        case party_state::finished: return "has ended";
    }
    return "";
}

/// A party still to be shown, and how deep it stands in the tree.
struct entry {
    const party* who;
    std::size_t depth;
};

void append_party(const party& p, std::size_t depth, std::string& out) {
    // Deeper ones stand in one column: with a margin each, a long chain of tasks makes a text that
    // grows with its square.
    constexpr std::size_t columns = 16;
    std::string margin(std::min(depth, columns) * 4, ' ');
    if (depth > columns) margin += "[" + std::to_string(depth) + "] ";
    out += margin + describe_party(p) + " " + word(p.state);
    if (p.state == party_state::parked) out += p.parked->kind().name;
    if (p.cancel_pending) out += " (cancelled)";
    out += '\n';
    const std::string trace = trace_of(p);
    std::string_view trace_lines = trace;
    while (!trace_lines.empty()) {
        const std::size_t end = trace_lines.find('\n') + 1;
        out += margin + std::string(trace_lines.substr(0, end));
        trace_lines.remove_prefix(end);
    }
}

// The last one in `left` is shown next: so the children are put there in the opposite order, the
// innermost group's first.
void leave_children(const group_core& group, std::size_t depth, std::vector<entry>& left) {
    const auto first = static_cast<std::ptrdiff_t>(left.size());
    for (party& child : const_cast<group_core&>(group).children) left.push_back({&child, depth});
    std::reverse(left.begin() + first, left.end());
}

void leave_children(const party& p, std::size_t depth, std::vector<entry>& left) {
    for (const scope_core* at = &p.scope(); at != &p; at = at->parent()) {
        if (at->is_group()) leave_children(static_cast<const group_core&>(*at), depth, left);
    }
}

}  // namespace

std::string describe_function(const std::source_location& where) {
    return user_words(where.function_name());
}

std::string describe_place(const std::source_location& where) {
    return std::string(where.file_name()) + ":" + std::to_string(where.line()) + " in " +
           describe_function(where);
}

std::string describe_party(const party& p) {
    if (const std::string_view name = party_name(p); !name.empty()) return std::string(name);
    if (!p.leaf) return "a task that never began";
    if (p.state == party_state::running) return "a task";  // the leaf may have ended in this leg
    const promise_base* outermost = &promise_base::of(p.leaf);
    while (outermost->continuation()) outermost = &promise_base::of(outermost->continuation());
    return describe_function(outermost->where);
}

std::string describe_place(const party& p) {
    if (!p.leaf) return "nowhere";
    return "at " + describe_place(promise_base::of(p.leaf).where);
}

std::string trace_of(const party& p) {
    std::string lines;
    if (p.state == party_state::running) return lines;  // its leaf may have ended in this leg
    std::size_t depth = 0;
    for (std::coroutine_handle<> frame = p.leaf; frame;) {
        const promise_base& at = promise_base::of(frame);
        lines += "  #" + std::to_string(depth++) + " " + describe_place(at.where) + "\n";
        frame = at.continuation();
    }
    return lines;
}

std::string dump_tasks() {
    const scheduler& home = detail::required_scheduler("dump_tasks");
    std::string out;
    if (home.root == nullptr) return out;
    // A list instead of recursion: trees of tasks may be deeper than any stack.
    std::vector<entry> left;
    leave_children(*home.root, 0, left);
    while (!left.empty()) {
        const entry next = left.back();
        left.pop_back();
        append_party(*next.who, next.depth, out);
        leave_children(*next.who, next.depth + 1, left);
    }
    return out;
}

}  // namespace lariat
