#include <lariat/base/frame_allocator.hpp>

#include <algorithm>
#include <mutex>
#include <new>
#include <type_traits>
#include <utility>

#include <pthread.h>
#include <sys/mman.h>

namespace lariat {

namespace detail {

constinit thread_local frame_cache this_thread_frames{};

namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr bool pass_through = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
constexpr bool pass_through = true;
#else
constexpr bool pass_through = false;
#endif
#else
constexpr bool pass_through = false;
#endif

constexpr std::size_t chunk_bytes = 64 * 1024;
// A process with a million tasks walks hundreds of megabytes of frames. Once it has a few megabytes
// it gets them as huge pages: 512 times fewer page faults and TLB entries.
constexpr std::size_t huge_chunk_bytes = 2 * 1024 * 1024;
constexpr std::size_t huge_from_bytes = 4 * 1024 * 1024;
constexpr std::size_t carve_bytes = 4 * 1024;  // cut from a chunk at a time
constexpr std::size_t batch_bytes = 8 * 1024;  // given to the shared pool at a time

constexpr std::size_t class_of(std::size_t bytes) noexcept { return frame_cache::class_of(bytes); }
constexpr std::size_t size_of(std::size_t size_class) noexcept {
    if (size_class < frame_cache::fine_count)
        return std::max(size_class * frame_cache::granule, sizeof(free_frame));
    return frame_cache::largest_fine +
           (size_class - frame_cache::fine_count + 1) * frame_cache::coarse_granule;
}
static_assert(size_of(class_of(frame_cache::largest_fine)) == frame_cache::largest_fine);
static_assert(size_of(class_of(frame_cache::largest_fine + 1)) ==
              frame_cache::largest_fine + frame_cache::coarse_granule);
static_assert(size_of(frame_cache::class_count - 1) == frame_cache::largest);
static_assert(class_of(frame_cache::largest) == frame_cache::class_count - 1);
constexpr std::size_t batch_of(std::size_t size_class) noexcept {
    return std::max<std::size_t>(batch_bytes / size_of(size_class), 4);
}

/// A piece of a chunk nothing has been cut from yet.
struct uncut {
    char* begin = nullptr;
    char* end = nullptr;

    [[nodiscard]] std::size_t size() const noexcept {
        return static_cast<std::size_t>(end - begin);
    }
    /// Leaves out what stands before a place that is aligned as a frame of that size may need.
    void align_for(std::size_t frame) noexcept {
        const auto at = reinterpret_cast<std::uintptr_t>(begin);
        if (frame % 16 == 0 && at % 16 != 0 && begin != end) begin += 8;
    }
};

/// An uncut piece whose thread has ended, written into the piece itself.
struct uncut_link {
    uncut_link* next;
    uncut piece;
};

/// The head of a chunk. All chunks stay reachable from here: memory at rest is no leak to a leak
/// checker.
struct alignas(16) chunk {
    chunk* next;
    std::size_t bytes;  // with this head
};

enum class mode {
    fresh,     // not yet registered
    ready,     // the fast path works
    counting,  // fail_frame_after: every call comes here
    departed,  // the thread is ending: every call goes to the shared pool
};

/// What a thread has beside its lists. Destroyed trivially: frames may be given back by destructors
/// that run after `departure`.
struct thread_record {
    mode state = mode::fresh;
    std::size_t allocations_left = 0;  // counting
    uncut rest;
    std::array<free_frame*, frame_cache::class_count> spare{};
    frame_cache* cache = nullptr;  // the next three: under the pool's mutex
    thread_record* next = nullptr;
    thread_record* prev = nullptr;
};
constinit thread_local thread_record this_thread;

/// What the threads share. Never destroyed, as frames outlive static objects.
struct shared_pool {
    std::mutex mutex;
    std::array<free_frame*, frame_cache::class_count> batches{};
    uncut_link* pieces = nullptr;
    chunk* chunks = nullptr;
    std::size_t chunk_total = 0;  // bytes in all chunks
    thread_record* threads = nullptr;
    std::ptrdiff_t live_departed = 0;  // of threads that have ended

    void put_batch(std::size_t size_class, free_frame* batch) noexcept;
    free_frame* take_batch(std::size_t size_class) noexcept;
    free_frame* take_one(std::size_t size_class) noexcept;
    void put_piece(const uncut& piece) noexcept;
    uncut take_piece(std::size_t frame);
    uncut add_chunk();
};
static_assert(std::is_trivially_destructible_v<shared_pool>);
constinit shared_pool pool;

// The six below: under the mutex.

void shared_pool::put_batch(std::size_t size_class, free_frame* batch) noexcept {
    if (batch == nullptr) return;
    batch->next_batch = batches[size_class];
    batches[size_class] = batch;
}

free_frame* shared_pool::take_batch(std::size_t size_class) noexcept {
    free_frame* batch = batches[size_class];
    if (batch != nullptr) batches[size_class] = batch->next_batch;
    return batch;
}

free_frame* shared_pool::take_one(std::size_t size_class) noexcept {
    free_frame* frame = take_batch(size_class);
    if (frame != nullptr) put_batch(size_class, frame->next);
    return frame;
}

void shared_pool::put_piece(const uncut& piece) noexcept {
    if (piece.size() >= sizeof(uncut_link)) pieces = ::new (piece.begin) uncut_link{pieces, piece};
}

/// Pieces that are too small are dropped: at most one frame's size of 64 KiB.
uncut shared_pool::take_piece(std::size_t frame) {
    while (pieces != nullptr) {
        uncut piece = pieces->piece;
        pieces = pieces->next;
        piece.align_for(frame);
        if (piece.size() >= frame) return piece;
    }
    return add_chunk();
}

uncut shared_pool::add_chunk() {
    const bool huge = chunk_total >= huge_from_bytes;
    const std::size_t bytes = huge ? huge_chunk_bytes : chunk_bytes;
    void* memory = huge ? ::operator new(bytes, std::align_val_t(bytes)) : ::operator new(bytes);
    // Advice: where the kernel does not take it the pages are small ones.
    if (huge) (void)::madvise(memory, bytes, MADV_HUGEPAGE);
    chunks = ::new (memory) chunk{chunks, bytes};
    chunk_total += bytes;
    char* const begin = static_cast<char*>(memory);
    return {begin + sizeof(chunk), begin + bytes};
}

/// The list of a size class becomes another one; no frame was taken or given back by that.
void set_list(std::size_t size_class, free_frame* head, std::size_t room) noexcept {
    frame_cache& cache = this_thread_frames;
    auto& bin = cache.bins[size_class];
    const std::size_t change = cache.changes.load(std::memory_order_relaxed);
    const auto more = static_cast<std::ptrdiff_t>(bin.room.load(std::memory_order_relaxed) - room);
    const std::ptrdiff_t live = cache.live_beside_room.load(std::memory_order_relaxed);
    cache.changes.store(change + 1, std::memory_order_relaxed);
    // Whoever sees a store that follows, one of the fast path too, sees the odd number or a later.
    std::atomic_thread_fence(std::memory_order_release);
    cache.live_beside_room.store(live + more, std::memory_order_relaxed);
    bin.room.store(room, std::memory_order_relaxed);
    cache.changes.store(change + 2, std::memory_order_release);
    bin.head = head;
}

/// As it stands, which may be in the middle of a change.
std::ptrdiff_t live_now(const frame_cache& cache) noexcept {
    std::ptrdiff_t live = cache.live_beside_room.load(std::memory_order_acquire);
    for (const auto& bin : cache.bins)
        live += static_cast<std::ptrdiff_t>(bin.room.load(std::memory_order_acquire));
    return live;
}

std::ptrdiff_t live_in(const frame_cache& cache) noexcept {
    for (;;) {
        const std::size_t change = cache.changes.load(std::memory_order_acquire);
        const std::ptrdiff_t live = live_now(cache);
        if (change % 2 == 0 && change == cache.changes.load(std::memory_order_relaxed)) return live;
    }
}

/// Puts all that this thread keeps into the shared pool; the fast path has then nothing to give and
/// no room. Under the mutex.
void withdraw(thread_record& me) noexcept {
    for (std::size_t size_class = 0; size_class < frame_cache::class_count; ++size_class) {
        auto& bin = this_thread_frames.bins[size_class];
        pool.put_batch(size_class, bin.head);
        pool.put_batch(size_class, me.spare[size_class]);
        set_list(size_class, nullptr, 0);
        me.spare[size_class] = nullptr;
    }
}

void leave(thread_record& me) noexcept {
    const std::lock_guard lock(pool.mutex);
    withdraw(me);
    pool.put_piece(std::exchange(me.rest, {}));
    pool.live_departed += live_in(*me.cache);
    (me.prev != nullptr ? me.prev->next : pool.threads) = me.next;
    if (me.next != nullptr) me.next->prev = me.prev;
    me.state = mode::departed;
}

struct departure {
    bool armed = false;
    ~departure() {
        if (armed) leave(this_thread);
    }
};
thread_local departure at_thread_end;

// A fork while another thread holds the mutex would leave it locked in the child for ever. Of the
// threads only the forking one lives on there, and the others' records lie in stacks that glibc
// hands to new threads: they go, and what those threads held stays allocated.
void before_fork() { pool.mutex.lock(); }
void after_fork_in_parent() { pool.mutex.unlock(); }
void after_fork_in_child() {
    thread_record& me = this_thread;
    for (thread_record* other = pool.threads; other != nullptr; other = other->next) {
        if (other != &me)
            pool.live_departed += live_now(*other->cache);  // it may have been changing
    }
    const bool registered = me.state == mode::ready || me.state == mode::counting;
    me.next = me.prev = nullptr;
    pool.threads = registered ? &me : nullptr;
    pool.mutex.unlock();
}

void join(thread_record& me) noexcept {
    [[maybe_unused]] static const int watched =
        pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
    at_thread_end.armed = true;
    const std::lock_guard lock(pool.mutex);
    me.cache = &this_thread_frames;
    me.next = pool.threads;
    if (me.next != nullptr) me.next->prev = &me;
    pool.threads = &me;
    me.state = mode::ready;
}

void count(const thread_record& me, std::ptrdiff_t change) noexcept {
    if (me.state != mode::departed) {
        auto& live = this_thread_frames.live_beside_room;
        live.store(live.load(std::memory_order_relaxed) + change, std::memory_order_relaxed);
        return;
    }
    const std::lock_guard lock(pool.mutex);
    pool.live_departed += change;
}

/// Cuts frames in ascending order: allocated one after the other they lie side by side.
free_frame* cut(uncut& piece, std::size_t size, std::size_t how_many) noexcept {
    auto* first = reinterpret_cast<free_frame*>(piece.begin);
    free_frame* last = first;
    for (piece.begin += size; --how_many != 0; piece.begin += size) {
        last->next = reinterpret_cast<free_frame*>(piece.begin);
        last = last->next;
    }
    last->next = nullptr;
    return first;
}

/// One frame from the shared pool or a chunk, past this thread's lists.
void* take_single(std::size_t size_class) {
    const std::size_t size = size_of(size_class);
    const std::lock_guard lock(pool.mutex);
    if (free_frame* frame = pool.take_one(size_class); frame != nullptr) return frame;
    uncut piece = pool.take_piece(size);
    free_frame* frame = cut(piece, size, 1);
    pool.put_piece(piece);
    return frame;
}

/// Fills this thread's list and takes its first frame. A batch of the pool may be short (its thread
/// ended): counted as full it only goes back the sooner.
void* refill(thread_record& me, std::size_t size_class) {
    const std::size_t size = size_of(size_class);
    const std::size_t batch = batch_of(size_class);
    std::size_t listed = batch;
    free_frame* list = std::exchange(me.spare[size_class], nullptr);
    if (list == nullptr) {
        const std::lock_guard lock(pool.mutex);
        list = pool.take_batch(size_class);
        if (list == nullptr) {
            me.rest.align_for(size);
            if (me.rest.size() < size) me.rest = pool.take_piece(size);
            listed = std::max<std::size_t>(std::min(me.rest.size(), carve_bytes) / size, 1);
            list = cut(me.rest, size, listed);
        }
    }
    set_list(size_class, list->next, batch - (listed - 1));
    return list;
}

/// Begins a new list with `frame`; the full one becomes the spare, the spare goes to the pool.
void start_list(thread_record& me, std::size_t size_class, free_frame* frame) noexcept {
    free_frame* full = this_thread_frames.bins[size_class].head;
    set_list(size_class, frame, batch_of(size_class) - 1);
    if (full == nullptr) return;
    full = std::exchange(me.spare[size_class], full);
    if (full == nullptr) return;
    const std::lock_guard lock(pool.mutex);
    pool.put_batch(size_class, full);
}

}  // namespace

void* allocate_frame_slowly(std::size_t bytes) noexcept {
    thread_record& me = this_thread;
    if (me.state == mode::fresh) join(me);
    if (me.state == mode::counting && --me.allocations_left == 0) {
        me.state = mode::ready;
        return nullptr;
    }
    void* memory = nullptr;
    try {
        if (pass_through || bytes > frame_cache::largest)
            memory = ::operator new(bytes);
        else if (me.state == mode::ready)
            memory = refill(me, class_of(bytes));
        else
            memory = take_single(class_of(bytes));
    } catch (const std::bad_alloc&) {
        return nullptr;  // the caller's own part throws one
    }
    count(me, 1);
    return memory;
}

void throw_bad_alloc() { throw std::bad_alloc(); }

void deallocate_frame_slowly(void* memory, std::size_t bytes) noexcept {
    thread_record& me = this_thread;
    if (me.state == mode::fresh) join(me);
    count(me, -1);
    if (pass_through || bytes > frame_cache::largest) {
        ::operator delete(memory);
        return;
    }
    auto* frame = static_cast<free_frame*>(memory);
    frame->next = nullptr;
    if (me.state == mode::ready) {
        start_list(me, class_of(bytes), frame);
        return;
    }
    const std::lock_guard lock(pool.mutex);
    pool.put_batch(class_of(bytes), frame);
}

}  // namespace detail

std::size_t live_frames() noexcept {
    const std::lock_guard lock(detail::pool.mutex);
    std::ptrdiff_t live = detail::pool.live_departed;
    for (const auto* thread = detail::pool.threads; thread != nullptr; thread = thread->next)
        live += detail::live_in(*thread->cache);
    return static_cast<std::size_t>(std::max<std::ptrdiff_t>(live, 0));
}

std::size_t fail_frame_after(std::size_t nth) noexcept {
    using detail::mode;
    detail::thread_record& me = detail::this_thread;
    if (me.state == mode::fresh) detail::join(me);
    if (me.state == mode::departed) return 0;
    const std::lock_guard lock(detail::pool.mutex);
    if (nth != 0) detail::withdraw(me);
    me.state = nth != 0 ? mode::counting : mode::ready;
    return std::exchange(me.allocations_left, nth);
}

}  // namespace lariat
