#pragma once

#include <lariat/base/config.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace lariat {

namespace detail {

struct free_frame {
    free_frame* next;
    free_frame* next_batch;  // used while the batch lies in the shared pool
};

/// One thread's frames at rest. A size class of `bin` holds one list to take from and, once that
/// has grown to a batch, a second one in `spare`; the next batch goes to the shared pool.
///
/// All zero is the state in which every call takes the slow path: so a thread's first call, a
/// thread that is ending, a test that counts allocations and a library built with AddressSanitizer
/// cost the fast path nothing.
struct frame_cache {
    static constexpr std::size_t granule = 8;
    static constexpr std::size_t largest_fine = 2048;
    static constexpr std::size_t coarse_granule = 256;
    static constexpr std::size_t largest = 8192;
    static constexpr std::size_t fine_count = largest_fine / granule + 1;
    static constexpr std::size_t class_count =
        fine_count + (largest - largest_fine) / coarse_granule;

    /// Where the size is a constant, as it mostly is, so is the class.
    [[nodiscard]] static constexpr std::size_t class_of(std::size_t bytes) noexcept {
        return bytes <= largest_fine ? (bytes + granule - 1) / granule
                                     : fine_count + (bytes - largest_fine - 1) / coarse_granule;
    }

    struct bin {
        free_frame* head;
        // Frames that still go in before the list is a full batch. Like all numbers here written by
        // this thread alone, without a locked instruction, and read by live_frames() anywhere.
        std::atomic<std::size_t> room;

        void change_room(std::ptrdiff_t by) noexcept {
            room.store(room.load(std::memory_order_relaxed) + static_cast<std::size_t>(by),
                       std::memory_order_relaxed);
        }
    };

    std::array<bin, class_count> bins;
    // A frame taken leaves room for one more: the frames alive are this and all room.
    std::atomic<std::ptrdiff_t> live_beside_room;
    std::atomic<std::size_t> changes;  // of what the fast path leaves alone; odd: in the middle
};

/// constinit, and trivially destroyed: the compiler then reads it without asking whether it exists.
extern LARIAT_EXPORT constinit thread_local frame_cache this_thread_frames;

LARIAT_EXPORT void* allocate_frame_slowly(std::size_t bytes) noexcept;
LARIAT_EXPORT void deallocate_frame_slowly(void* frame, std::size_t bytes) noexcept;
[[noreturn]] LARIAT_EXPORT void throw_bad_alloc();

// Every coroutine has a copy of the fast path, and most have nothing else to call where it lies:
// what saves the registers itself spares them the pushes. Compiled by the caller's compiler, as
// another may not know this convention. Null if there is no memory.
LARIAT_SAVES_REGISTERS inline void* allocate_frame_aside(std::size_t bytes) noexcept {
    return allocate_frame_slowly(bytes);
}
LARIAT_SAVES_REGISTERS inline void deallocate_frame_aside(void* frame, std::size_t bytes) noexcept {
    deallocate_frame_slowly(frame, bytes);
}

}  // namespace detail

/// Memory for a coroutine frame or another small record, aligned to 16 bytes where its size is a
/// multiple of 16, and to 8 else: no object is aligned to more than divides its size.
///
/// Threads      any thread; a frame may be given back on another thread than its maker's
/// Allocation   from this thread's list of the size class (8 bytes a step, above 2,048 bytes 256),
///              else a batch of the shared pool, else a chunk of 64 KiB (2 MiB of huge pages once
///              there are 4 MiB), which is kept for the life of the process; above 8,192 bytes
///              operator new
/// Limits       a thread keeps at most two batches (of 8 KiB, at least 4 frames) a size class
///
/// A library built with AddressSanitizer passes everything to operator new, so that use after free
/// is found. That is decided in the library's compiled part alone, whatever flags its user builds
/// with: there the lists stay empty and have no room, and this inline part never succeeds.
///
/// Errors       std::bad_alloc
[[nodiscard]] inline void* allocate_frame(std::size_t bytes) {
    using detail::frame_cache;
    if (bytes <= frame_cache::largest) [[likely]] {
        frame_cache& cache = detail::this_thread_frames;
        auto& bin = cache.bins[frame_cache::class_of(bytes)];
        if (detail::free_frame* frame = bin.head; frame != nullptr) [[likely]] {
            bin.head = frame->next;
            bin.change_room(1);
            return frame;
        }
    }
    void* frame = detail::allocate_frame_aside(bytes);
    if (frame == nullptr) [[unlikely]]
        detail::throw_bad_alloc();
    return frame;
}

/// Gives a frame back. Pre: `bytes` is what it was allocated with.
inline void deallocate_frame(void* memory, std::size_t bytes) noexcept {
    using detail::frame_cache;
    if (bytes <= frame_cache::largest) [[likely]] {
        frame_cache& cache = detail::this_thread_frames;
        auto& bin = cache.bins[frame_cache::class_of(bytes)];
        if (bin.room.load(std::memory_order_relaxed) != 0) [[likely]] {
            auto* frame = static_cast<detail::free_frame*>(memory);
            frame->next = bin.head;
            bin.head = frame;
            bin.change_room(-1);
            return;
        }
    }
    detail::deallocate_frame_aside(memory, bytes);
}

/// Returns how many frames are allocated now, in all threads. Exact when no other thread is
/// allocating; else wrong by what the others did while it looked, and after a fork by what they
/// were in the middle of. Cost: a walk over the lists of every thread.
[[nodiscard]] LARIAT_EXPORT std::size_t live_frames() noexcept;

/// For tests: from now on the `nth` allocation of this thread (1 is the next) throws
/// std::bad_alloc, once; 0 ends the count. Returns what was left of the count before: 0 when it had
/// come to its end.
LARIAT_EXPORT std::size_t fail_frame_after(std::size_t nth) noexcept;

}  // namespace lariat
