#include "process/modules.hpp"

#include <algorithm>
#include <new>

#include <dlfcn.h>
#include <link.h>

namespace lariat::detail {

loaded_modules loaded_modules::now() {
    struct walk {
        loaded_modules found;
        bool out_of_memory = false;
    } at;
    ::dl_iterate_phdr(
        [](dl_phdr_info* module, std::size_t, void* context) {
            auto& to = *static_cast<walk*>(context);
            try {
                for (int i = 0; i < module->dlpi_phnum; ++i) {
                    const auto& segment = module->dlpi_phdr[i];
                    if (segment.p_type != PT_LOAD) continue;
                    const std::uintptr_t begin = module->dlpi_addr + segment.p_vaddr;
                    to.found.ranges_.push_back(range{begin, begin + segment.p_memsz});
                }
            } catch (const std::bad_alloc&) {
                to.out_of_memory = true;
            }
            return to.out_of_memory ? 1 : 0;
        },
        &at);
    if (at.out_of_memory) throw std::bad_alloc();
    return at.found;
}

bool loaded_modules::contains(std::uintptr_t address) const noexcept {
    return std::any_of(ranges_.begin(), ranges_.end(), [address](const range& each) {
        return address >= each.begin && address < each.end;
    });
}

const char* module_file(std::uintptr_t address) noexcept {
    Dl_info about{};
    if (::dladdr(reinterpret_cast<void*>(address), &about) == 0 || about.dli_fname == nullptr)
        return "";
    return about.dli_fname;
}

}  // namespace lariat::detail
