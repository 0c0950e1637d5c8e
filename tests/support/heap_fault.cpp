#include "heap_fault.hpp"

#include <cstdlib>
#include <new>

namespace {

struct plan {
    std::size_t bytes = 0;  // 0: nothing fails
    std::size_t spared = 0;
    std::size_t struck = 0;
};

thread_local plan faults;
thread_local std::size_t taken = 0;

}  // namespace

#if LARIAT_TEST_OWN_NEW

namespace {

void* allocate(std::size_t bytes) noexcept {
    ++taken;
    if (faults.bytes != 0 && bytes == faults.bytes) {
        if (faults.spared == 0) {
            ++faults.struck;
            return nullptr;
        }
        --faults.spared;
    }
    return std::malloc(bytes != 0 ? bytes : 1);
}

}  // namespace

// The program's own operator new and delete ([new.delete]); the forms that are not here call these.
void* operator new(std::size_t bytes) {
    void* const memory = allocate(bytes);
    if (memory == nullptr) throw std::bad_alloc();
    return memory;
}
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept { return allocate(bytes); }
void* operator new(std::size_t bytes, std::align_val_t alignment) {
    ++taken;
    const auto to = static_cast<std::size_t>(alignment);
    void* const memory = std::aligned_alloc(to, (bytes + to - 1) / to * to);
    if (memory == nullptr) throw std::bad_alloc();
    return memory;
}
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }

#endif

namespace lariat::test {

heap_fault::heap_fault(std::size_t bytes, std::size_t spared) noexcept {
    faults = {bytes, spared, 0};
}

heap_fault::~heap_fault() { faults = {}; }

std::size_t heap_fault::struck() const noexcept { return faults.struck; }

std::size_t blocks_taken() noexcept { return taken; }

}  // namespace lariat::test
