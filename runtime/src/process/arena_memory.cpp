#include "process/arena_memory.hpp"

#include <lariat/base/unique_fd.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <system_error>

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

namespace lariat::detail {

namespace {

constexpr std::uint64_t page = 4096;
constexpr std::uint64_t growth = 256 * 1024;  // bytes promised by the system at a time
constexpr std::uint64_t least_capacity = 16 * 1024 * 1024;
constexpr std::uint64_t promised_from = 1024 * 1024;  // larger blocks are promised beforehand
constexpr std::uint64_t piece = 2 * 1024 * 1024;
constexpr std::uint64_t trimmed_from = 64 * 1024;  // smaller free blocks keep their pages

/// This process's view. The descriptor stays open: it promises and trims pages.
struct view {
    arena_header* header = nullptr;
    int memory = -1;
};
constinit view here;

constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t to) noexcept {
    return (value + to - 1) / to * to;
}

std::uint64_t offset_of(const void* block) noexcept {
    return static_cast<std::uint64_t>(static_cast<const std::byte*>(block) -
                                      reinterpret_cast<const std::byte*>(here.header));
}

/// Memory that the system has not promised would end the process with SIGBUS at the first touch.
bool commit(std::uint64_t offset, std::uint64_t bytes) noexcept {
    int done = 0;
    do {
        done = ::fallocate(here.memory, 0, static_cast<off_t>(offset), static_cast<off_t>(bytes));
    } while (done != 0 && errno == EINTR);
    return done == 0;
}

/// All before `end` is promised.
void note_promise(std::uint64_t end) noexcept {
    transaction change(here.header->guard);
    std::atomic<std::uint64_t>& committed = here.header->committed;
    if (committed.load(std::memory_order_relaxed) < end) change.set(committed, end);
    change.commit();
}

/// What was promised from `from` on is not used for a block that the system has no memory for: it
/// has it back, unless others use it.
void forget_promises(std::uint64_t from, std::uint64_t end) noexcept {
    arena_header& arena = *here.header;
    transaction change(arena.guard);
    if (from < end && arena.top.load(std::memory_order_relaxed) <= from &&
        arena.committed.load(std::memory_order_relaxed) == end) {
        change.set(arena.committed, from);
        (void)::fallocate(here.memory, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                          static_cast<off_t>(from), static_cast<off_t>(end - from));
    }
    change.commit();
}

[[noreturn]] void refuse(int error, const std::string& what) {
    throw std::system_error(error, std::system_category(), what);
}

// Where a program executed anew will have nothing: far from where the kernel puts programs, their
// libraries, heaps and stacks, and the sanitizers' shadows, on x86-64 and on AArch64 with 48 bits.
// At random, so that nobody knows it beforehand. Where the kernel cannot, it chooses for itself.
void* quiet_place() noexcept {
    constexpr std::uintptr_t first = std::uintptr_t{32} << 40U;
    constexpr std::uintptr_t places = std::uintptr_t{1} << 23U;
    constexpr std::uintptr_t apart = std::uintptr_t{2} << 20U;  // a huge page
    std::uintptr_t number = 0;
    if (::getrandom(&number, sizeof number, GRND_NONBLOCK) < 0) number = 0;
    return reinterpret_cast<void*>(first + number % places * apart);
}

constexpr int mapping_flags = MAP_SHARED | MAP_NORESERVE;

void* reserve(int memory, std::size_t& bytes) {
    const std::size_t least = bytes / 16;
    for (;;) {
        void* mapped =
            ::mmap(quiet_place(), bytes, PROT_READ | PROT_WRITE, mapping_flags, memory, 0);
        if (mapped != MAP_FAILED) return mapped;
        if (errno != ENOMEM || bytes / 2 < least) refuse(errno, "reserving shared memory");
        bytes /= 2;
    }
}

// A larger file would end the process with SIGXFSZ. Only its making is measured: later it grows no
// more, and memory is promised inside of it.
std::uint64_t within_file_limit(std::uint64_t bytes) {
    rlimit most{};
    if (::getrlimit(RLIMIT_FSIZE, &most) != 0 || most.rlim_cur >= bytes) return bytes;
    if (most.rlim_cur < least_capacity)
        refuse(EFBIG, "making shared memory: files may have " + std::to_string(most.rlim_cur) +
                          " bytes here (RLIMIT_FSIZE, ulimit -f), and it needs " +
                          std::to_string(least_capacity));
    return most.rlim_cur / growth * growth;
}

/// A child forked by hand is nobody, until the fork server makes it a member.
int notice_forks() noexcept {
    static const int refused = ::pthread_atfork(
        nullptr, nullptr, +[] { this_owner.store(nobody, std::memory_order_relaxed); });
    return refused;
}

}  // namespace

arena_header* the_arena() noexcept { return here.header; }
int arena_descriptor() noexcept { return here.memory; }

void create_arena(std::size_t bytes) {
    bytes = within_file_limit(round_up(bytes, growth));
    unique_fd memory(::memfd_create("lariat", MFD_CLOEXEC));
    if (!memory) refuse(errno, "making shared memory (memfd_create)");
    void* mapped = reserve(memory.get(), bytes);
    const std::uint64_t head = round_up(sizeof(arena_header), growth);
    if (::ftruncate(memory.get(), static_cast<off_t>(bytes)) != 0 ||
        ::fallocate(memory.get(), 0, 0, static_cast<off_t>(head)) != 0) {
        const int error = errno;
        ::munmap(mapped, bytes);
        refuse(error, "making shared memory");
    }
    here.header = std::construct_at(static_cast<arena_header*>(mapped));
    here.header->capacity = bytes;
    here.header->top.store(round_up(sizeof(arena_header), page), std::memory_order_relaxed);
    here.header->committed.store(head, std::memory_order_relaxed);
    here.memory = memory.release();
    if (const int error = notice_forks()) refuse(error, "making shared memory (pthread_atfork)");
}

int map_arena(int memory, std::uintptr_t where, std::size_t bytes) {
    void* const wanted = reinterpret_cast<void*>(where);
    void* const mapped = ::mmap(wanted, bytes, PROT_READ | PROT_WRITE,
                                mapping_flags | MAP_FIXED_NOREPLACE, memory, 0);
    if (mapped == MAP_FAILED) return errno;
    if (mapped != wanted) {  // a kernel before 4.17, or a sanitizer, takes it for a wish
        ::munmap(mapped, bytes);
        return EEXIST;
    }
    here.header = static_cast<arena_header*>(mapped);
    here.memory = memory;
    return notice_forks();
}

std::uint32_t class_for(std::uint64_t bytes) {
    std::uint32_t size_class = 0;
    // 48 and 96 bytes would not keep what follows them aligned to a cache line.
    while (size_class < size_classes &&
           (bytes_of_class(size_class) < bytes || size_class == 1 || size_class == 3))
        ++size_class;
    if (size_class == size_classes || bytes_of_class(size_class) > here.header->capacity)
        refuse(ENOMEM, "a shared object larger than the shared memory of this family");
    return size_class;
}

// In pieces: the system changes the memory file for one at a time, so others that need a little of
// it under the lock wait for a piece at most.
void promise_block(std::uint32_t size_class) noexcept {
    const std::uint64_t bytes = bytes_of_class(size_class);
    if (bytes < promised_from) return;
    arena_header& arena = *here.header;
    std::uint64_t from = 0;
    std::uint64_t to = 0;
    bool is_new = false;
    {
        transaction look(arena.guard);
        const free_block* block = arena.free[size_class].load(std::memory_order_relaxed);
        is_new = block == nullptr;
        from = is_new ? arena.committed.load(std::memory_order_relaxed) : offset_of(block);
        const std::uint64_t start =
            is_new ? round_up(arena.top.load(std::memory_order_relaxed), 64) : from;
        to = is_new ? round_up(start + bytes, growth) : start + bytes;
        look.commit();
    }
    if (to > arena.capacity) return;  // take_block looks closer
    for (std::uint64_t done = from; done < to;) {
        const std::uint64_t more = std::min(piece, to - done);
        if (!commit(done, more)) return is_new ? forget_promises(from, done) : void();
        done += more;
        if (is_new) note_promise(done);
    }
}

void* take_block(transaction& change, std::uint32_t size_class) noexcept {
    arena_header& arena = *here.header;
    const std::uint64_t bytes = bytes_of_class(size_class);
    if (free_block* block = arena.free[size_class].load(std::memory_order_relaxed)) {
        if (bytes >= trimmed_from && !commit(offset_of(block), bytes)) return nullptr;
        change.set(arena.free[size_class], block->next.load(std::memory_order_relaxed));
        // Its new use overwrites this: if that is undone, it leads on again.
        change.set(block->next, nullptr);
        return block;
    }
    const std::uint64_t start =
        round_up(arena.top.load(std::memory_order_relaxed), bytes < 64 ? bytes : 64);
    if (start > arena.capacity || bytes > arena.capacity - start) return nullptr;
    const std::uint64_t committed = arena.committed.load(std::memory_order_relaxed);
    if (start + bytes > committed) {
        std::uint64_t more = round_up(start + bytes - committed, growth);
        if (more > arena.capacity - committed) more = arena.capacity - committed;
        if (!commit(committed, more)) return nullptr;
        change.set(arena.committed, committed + more);
    }
    change.set(arena.top, start + bytes);
    return reinterpret_cast<std::byte*>(here.header) + start;
}

void zero_block(void* block, std::uint32_t size_class) noexcept {
    const std::uint64_t bytes = bytes_of_class(size_class);
    auto* start = static_cast<std::byte*>(block);
    if (bytes < trimmed_from) {
        std::memset(start, 0, bytes);
        return;
    }
    const std::uint64_t from = round_up(offset_of(block) + 1, page) - offset_of(block);
    const std::uint64_t to = (offset_of(block) + bytes) / page * page - offset_of(block);
    std::memset(start, 0, from);
    std::memset(start + to, 0, bytes - to);
}

void give_block(transaction& change, void* block, std::uint32_t size_class) noexcept {
    auto* freed = static_cast<free_block*>(block);
    std::atomic<free_block*>& list = here.header->free[size_class];
    change.set(freed->next, list.load(std::memory_order_relaxed));
    change.set(list, freed);
}

void trim_block(void* block, std::uint32_t size_class) noexcept {
    const std::uint64_t bytes = bytes_of_class(size_class);
    if (bytes < trimmed_from) return;
    // The first page stays, for the list of free blocks leads through it. A refusal leaves the
    // memory in use, and what zero_block counts on: so it is zeroed here.
    const std::uint64_t from = round_up(offset_of(block) + 1, page);
    const std::uint64_t to = (offset_of(block) + bytes) / page * page;
    if (to > from && ::fallocate(here.memory, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                 static_cast<off_t>(from), static_cast<off_t>(to - from)) != 0)
        std::memset(reinterpret_cast<std::byte*>(here.header) + from, 0, to - from);
}

bool in_arena(std::uintptr_t address, std::size_t alignment) noexcept {
    const auto start = reinterpret_cast<std::uintptr_t>(here.header);
    return here.header != nullptr && address % alignment == 0 &&
           address >= start + sizeof(arena_header) &&
           address < start + here.header->top.load(std::memory_order_relaxed);
}

}  // namespace lariat::detail
