#include "process/modules.hpp"

#include <lariat/process/image_pointer.hpp>

#include <algorithm>
#include <cstring>
#include <new>
#include <span>

#include <dlfcn.h>
#include <elf.h>
#include <link.h>

namespace lariat::detail {

namespace {

constexpr std::size_t aligned(std::size_t bytes, std::size_t to) noexcept {
    return (bytes + to - 1) / to * to;
}

/// A segment of notes: each a header, a name and a description, aligned (elf(5)).
std::span<const std::byte> build_id_in(std::span<const std::byte> notes, std::size_t alignment) {
    const std::size_t step = alignment == 8 ? 8 : 4;
    while (notes.size() >= sizeof(ElfW(Nhdr))) {
        ElfW(Nhdr) head;
        std::memcpy(&head, notes.data(), sizeof head);
        const std::size_t text = aligned(sizeof head + head.n_namesz, step);
        const std::size_t all = aligned(text + head.n_descsz, step);
        if (text + head.n_descsz > notes.size()) break;
        if (head.n_type == NT_GNU_BUILD_ID && head.n_namesz == 4 &&
            std::memcmp(notes.data() + sizeof head, "GNU", 4) == 0)
            return notes.subspan(text, head.n_descsz);
        notes = notes.subspan(std::min(all, notes.size()));
    }
    return {};
}

/// FNV-1a, 64 bits.
std::uint64_t sum_of(std::span<const std::byte> bytes) noexcept {
    std::uint64_t sum = 0xcbf29ce484222325;
    for (const std::byte each : bytes)
        sum = (sum ^ static_cast<std::uint64_t>(each)) * 0x100000001b3;
    return sum;
}

loaded_module describe(const dl_phdr_info& about) {
    loaded_module made;
    const std::span segments(about.dlpi_phdr, about.dlpi_phnum);
    std::span<const std::byte> id;
    made.begin = UINTPTR_MAX;
    for (const auto& each : segments) {
        const std::uintptr_t begin = about.dlpi_addr + each.p_vaddr;
        if (each.p_type == PT_NOTE && id.empty())
            id = build_id_in(std::span(reinterpret_cast<const std::byte*>(begin), each.p_memsz),
                             each.p_align);
        if (each.p_type != PT_LOAD) continue;
        made.begin = std::min(made.begin, begin);
        made.end = std::max<std::uintptr_t>(made.end, begin + each.p_memsz);
    }
    const std::uint64_t looks = sum_of(std::as_bytes(segments));
    if (id.empty()) id = std::as_bytes(std::span<const std::uint64_t, 1>(&looks, 1));
    std::memcpy(made.build.data(), id.data(), std::min(id.size(), made.build.size()));
    return made;
}

// Never destroyed: shared objects may be told of to the last.
module_map& others_addresses() {
    static auto* all = new module_map;
    return *all;
}

}  // namespace

std::vector<loaded_module> loaded_modules() {
    struct walk {
        std::vector<loaded_module> found;
        bool out_of_memory = false;
    } at;
    ::dl_iterate_phdr(
        [](dl_phdr_info* about, std::size_t, void* context) {
            auto& to = *static_cast<walk*>(context);
            try {
                const loaded_module found = describe(*about);
                if (found.begin < found.end) to.found.push_back(found);
            } catch (const std::bad_alloc&) {
                to.out_of_memory = true;
            }
            return to.out_of_memory ? 1 : 0;
        },
        &at);
    if (at.out_of_memory) throw std::bad_alloc();
    return std::move(at.found);
}

const loaded_module* module_of(const std::vector<loaded_module>& all,
                               std::uintptr_t address) noexcept {
    const auto found = std::find_if(all.begin(), all.end(), [address](const loaded_module& each) {
        return each.contains(address);
    });
    return found == all.end() ? nullptr : &*found;
}

const char* module_file(std::uintptr_t address) noexcept {
    Dl_info about{};
    if (::dladdr(reinterpret_cast<void*>(address), &about) == 0 || about.dli_fname == nullptr)
        return "";
    return about.dli_fname;
}

module_map::module_map(const std::vector<loaded_module>& here,
                       const std::vector<loaded_module>& there) {
    for (const loaded_module& own : here) {
        const auto same = std::find_if(there.begin(), there.end(), [&](const loaded_module& each) {
            return own.is_the_same_as(each);
        });
        if (same != there.end()) both_.push_back(pair{own.begin, same->begin, own.end - own.begin});
    }
}

std::uintptr_t module_map::there(std::uintptr_t here) const noexcept {
    for (const pair& each : both_)
        if (here - each.here < each.bytes) return here - each.here + each.there;
    return 0;
}

std::uintptr_t module_map::here(std::uintptr_t there) const noexcept {
    for (const pair& each : both_)
        if (there - each.there < each.bytes) return there - each.there + each.here;
    return 0;
}

void tell_addresses_as_in(const std::vector<loaded_module>& there) {
    others_addresses() = module_map(loaded_modules(), there);
    lies_elsewhere.store(true, std::memory_order_relaxed);
}

std::uintptr_t said_elsewhere(std::uintptr_t here) noexcept {
    return others_addresses().there(here);
}
std::uintptr_t found_elsewhere(std::uintptr_t said) noexcept {
    return others_addresses().here(said);
}

}  // namespace lariat::detail
