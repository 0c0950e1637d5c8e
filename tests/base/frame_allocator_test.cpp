#include <lariat/base/frame_allocator.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <new>
#include <random>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

namespace {

using lariat::allocate_frame;
using lariat::deallocate_frame;
using lariat::fail_frame_after;
using lariat::live_frames;

enum class instrument { none, address, thread };
#if defined(__SANITIZE_ADDRESS__)
constexpr instrument sanitizer = instrument::address;
#elif defined(__SANITIZE_THREAD__)
constexpr instrument sanitizer = instrument::thread;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
constexpr instrument sanitizer = instrument::address;
#elif __has_feature(thread_sanitizer)
constexpr instrument sanitizer = instrument::thread;
#else
constexpr instrument sanitizer = instrument::none;
#endif
#else
constexpr instrument sanitizer = instrument::none;
#endif

/// Many frames, each filled to its last byte with its own number.
class filled_frames {
 public:
    filled_frames() = default;
    filled_frames(filled_frames&&) = default;
    filled_frames& operator=(filled_frames&&) = delete;
    ~filled_frames() {
        while (!frames_.empty()) CHECK(give_back_last());
    }
    void add(std::size_t bytes) {
        void* memory = allocate_frame(bytes);
        const std::size_t alignment = bytes % 16 == 0 ? 16 : 8;
        CHECK(reinterpret_cast<std::uintptr_t>(memory) % alignment == 0);
        std::memset(memory, mark(), bytes);
        frames_.emplace_back(memory, bytes);
    }
    /// Whether it was as it had been filled.
    bool give_back_last() {
        auto [memory, bytes] = frames_.back();
        frames_.pop_back();
        const auto* content = static_cast<const unsigned char*>(memory);
        bool whole = true;
        for (std::size_t i = 0; i < bytes; ++i) whole = whole && content[i] == mark();
        deallocate_frame(memory, bytes);
        return whole;
    }
    void swap_with_last(std::size_t place) {
        std::swap(frames_[place], frames_.back());
        // The mark goes by place: fill both anew.
        for (const std::size_t i : {place, frames_.size() - 1})
            std::memset(frames_[i].first, static_cast<unsigned char>(i * 31), frames_[i].second);
    }
    [[nodiscard]] std::size_t size() const { return frames_.size(); }

 private:
    [[nodiscard]] unsigned char mark() const {
        return static_cast<unsigned char>(frames_.size() * 31);
    }
    std::vector<std::pair<void*, std::size_t>> frames_;
};

TEST_CASE("frame_allocator: frames of all sizes are apart, aligned and counted") {
    const std::size_t before = live_frames();
    {
        filled_frames frames;
        for (std::size_t bytes = 0; bytes <= 5000; bytes += 7) frames.add(bytes);
        for (const std::size_t bytes :
             {15U, 16U, 17U, 2047U, 2048U, 2049U, 2304U, 2305U, 8192U, 8193U})
            frames.add(bytes);
        CHECK(live_frames() == before + frames.size());
    }
    CHECK(live_frames() == before);
}

TEST_CASE("frame_allocator: frames given back in any order are whole and come to be used again") {
    const std::size_t before = live_frames();
    std::mt19937 random(3);
    filled_frames frames;
    for (int i = 0; i < 100'000; ++i) {
        if (frames.size() > 0 && random() % 100 < (i < 60'000 ? 40 : 60)) {
            frames.swap_with_last(random() % frames.size());
            REQUIRE(frames.give_back_last());
        } else {
            frames.add(random() % 300);
        }
    }
    CHECK(live_frames() == before + frames.size());
}

TEST_CASE(
    "frame_allocator: a thread gives back what another allocated, and its end loses nothing") {
    const std::size_t before = live_frames();
    for (int round = 0; round < 50; ++round) {
        filled_frames handed_over;
        std::thread maker([&] {
            for (std::size_t i = 0; i < 2000; ++i) handed_over.add(16 + i % 500);
        });
        maker.join();
        CHECK(live_frames() == before + 2000);
        std::thread taker([frames = std::move(handed_over)]() mutable {
            while (frames.size() > 0) CHECK(frames.give_back_last());
        });
        taker.join();
        CHECK(live_frames() == before);
    }
}

TEST_CASE("frame_allocator: threads allocate and give back side by side") {
    const std::size_t before = live_frames();
    std::vector<std::thread> threads;
    for (unsigned seed = 0; seed < 4; ++seed) {
        threads.emplace_back([seed] {
            std::mt19937 random(seed);
            filled_frames frames;
            for (int i = 0; i < 20'000; ++i) {
                if (frames.size() > 0 && random() % 2 == 0)
                    frames.give_back_last();
                else
                    frames.add(100 + random() % 100);
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(live_frames() == before);
}

/// Gives a frame back when its thread has nearly ended.
struct last_of_a_thread {
    void* memory = nullptr;
    ~last_of_a_thread() {
        if (memory == nullptr) return;
        deallocate_frame(memory, 64);
        deallocate_frame(allocate_frame(48), 48);
    }
};

TEST_CASE("frame_allocator: a destructor at the end of a thread may still give frames back") {
    const std::size_t before = live_frames();
    std::thread([] {
        thread_local last_of_a_thread last;  // made first, so destroyed last
        last.memory = nullptr;
        last.memory = allocate_frame(64);
    }).join();
    CHECK(live_frames() == before);
}

TEST_CASE("frame_allocator: the nth allocation fails when a test asks for it, and only that one") {
    const std::size_t before = live_frames();
    filled_frames frames;
    frames.add(64);
    CHECK(fail_frame_after(3) == 0);
    frames.add(64);
    frames.add(5000);
    CHECK_THROWS_AS(static_cast<void>(allocate_frame(64)), std::bad_alloc);
    frames.add(64);
    CHECK(live_frames() == before + 4);
    CHECK(fail_frame_after(2) == 0);
    frames.add(16);
    frames.give_back_last();
    CHECK(fail_frame_after(0) == 1);
    for (int i = 0; i < 100; ++i) frames.add(64);
}

/// With nothing else called before the result, all that is at hand stays in registers.
[[gnu::noinline]] std::size_t sum_over_an_allocation(std::size_t a, std::size_t b, std::size_t c,
                                                     std::size_t d, std::size_t e) {
    a *= 3;
    b ^= c;
    c += d * 7;
    d -= e;
    e *= a;
    try {
        deallocate_frame(allocate_frame(64), 64);
    } catch (const std::bad_alloc&) {
        return a + 3 * b + 5 * c + 7 * d + 11 * e;
    }
    return a + 3 * b + 5 * c + 7 * d + 11 * e;
}

TEST_CASE("frame_allocator: what is at hand is whole after an allocation that failed") {
    const volatile std::size_t one = 1;  // not to be computed by the compiler
    const std::size_t sum = sum_over_an_allocation(one, 2 * one, 3 * one, 5 * one, 4 * one);
    CHECK(fail_frame_after(1) == 0);
    CHECK(sum_over_an_allocation(one, 2 * one, 3 * one, 5 * one, 4 * one) == sum);
    CHECK(fail_frame_after(0) == 0);
}

TEST_CASE("frame_allocator: a failing large allocation throws and counts nothing") {
    const std::size_t before = live_frames();
    CHECK(fail_frame_after(1) == 0);
    CHECK_THROWS_AS(static_cast<void>(allocate_frame(100'000)), std::bad_alloc);
    CHECK(live_frames() == before);
}

/// Whether a forked child that does `body` ends well. A child that hangs is ended by its alarm.
template <class Body>
bool child_ends_well(Body body) {
    const pid_t child = ::fork();
    if (child == 0) {
        ::alarm(20);
        ::_exit(body() ? 0 : 1);
    }
    int status = -1;
    REQUIRE(::waitpid(child, &status, 0) == child);
    return status == 0;
}

TEST_CASE("frame_allocator: in a forked child the parent's other threads are gone, new ones work") {
    std::atomic<int> step{0};
    std::thread other([&] {
        filled_frames frames;
        frames.add(64);
        step.store(1);
        step.notify_one();
        step.wait(1);
    });
    step.wait(0);
    const std::size_t before = live_frames();
    CHECK(child_ends_well([before] {
        bool counted = live_frames() == before;
        // ThreadSanitizer ends a forked child that starts a thread.
        const int wanted = sanitizer == instrument::thread ? 0 : 4;
        std::vector<std::thread> threads;  // these get the stacks of the threads that are gone
        for (int i = 0; i < wanted; ++i) threads.emplace_back([] { filled_frames().add(64); });
        for (std::thread& thread : threads) thread.join();
        void* mine = allocate_frame(64);
        counted = counted && live_frames() == before + 1;
        deallocate_frame(mine, 64);
        return counted;
    }));
    step.store(2);
    step.notify_one();
    other.join();
}

TEST_CASE("frame_allocator: a fork while other threads allocate leaves no lock behind") {
    std::atomic<bool> stop{false};
    std::thread busy([&] {
        fail_frame_after(static_cast<std::size_t>(-1));  // so each call takes the slow, locked path
        while (!stop.load()) deallocate_frame(allocate_frame(64), 64);
        fail_frame_after(0);
    });
    for (int i = 0; i < 20; ++i) {
        CHECK(child_ends_well([] {
            std::vector<void*> frames;
            for (int k = 0; k < 1000; ++k) frames.push_back(allocate_frame(64));
            for (void* frame : frames) deallocate_frame(frame, 64);
            return true;
        }));
    }
    stop.store(true);
    busy.join();
}

TEST_CASE("frame_allocator: a frame given back is the next one of its size class") {
    if (sanitizer == instrument::address) return;  // it keeps frames back, to find late uses
    void* first = allocate_frame(200);
    deallocate_frame(first, 200);
    void* second = allocate_frame(193);
    CHECK(second == first);
    deallocate_frame(second, 193);
}

TEST_CASE("frame_allocator: memory one thread frees serves another that allocates") {
    if (sanitizer == instrument::address) return;
    std::set<void*> seen;
    for (int round = 0; round < 200; ++round) {
        std::vector<void*> frames;
        std::thread([&] {
            for (int i = 0; i < 100; ++i) frames.push_back(allocate_frame(1000));
        }).join();
        for (void* frame : frames) {
            seen.insert(frame);
            deallocate_frame(frame, 1000);
        }
    }
    CHECK(seen.size() < 1000);  // of 20,000 allocated
}

TEST_CASE("frame_allocator: what a thread kept serves the next one when it has ended") {
    if (sanitizer == instrument::address) return;
    std::set<void*> seen;
    for (int round = 0; round < 200; ++round) {
        std::thread([&] {
            std::vector<void*> frames;
            for (int i = 0; i < 40; ++i) frames.push_back(allocate_frame(992));
            seen.insert(frames.begin(), frames.end());
            for (void* frame : frames) deallocate_frame(frame, 992);
        }).join();
    }
    CHECK(seen.size() < 100);  // of 8,000 allocated
}

TEST_CASE("frame_allocator: threads that end leave the uncut rest of their chunk to the next") {
    if (sanitizer == instrument::address) return;
    std::vector<void*> frames;
    std::set<std::uintptr_t> regions;  // of a chunk's size
    for (int round = 0; round < 200; ++round)
        std::thread([&] { frames.push_back(allocate_frame(976)); }).join();
    for (void* frame : frames) {
        regions.insert(reinterpret_cast<std::uintptr_t>(frame) / (64 * 1024));
        deallocate_frame(frame, 976);
    }
    CHECK(regions.size() < 20);  // 200 KiB; a chunk for each thread that cuts one would be 50
}

}  // namespace
