#include <lariat/base/frame_allocator.hpp>

#include <doctest/doctest.h>

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
        CHECK(reinterpret_cast<std::uintptr_t>(memory) % 16 == 0);
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
        for (const std::size_t bytes : {15U, 16U, 17U, 2047U, 2048U, 2049U}) frames.add(bytes);
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

TEST_CASE("frame_allocator: a failing large allocation throws and counts nothing") {
    const std::size_t before = live_frames();
    CHECK(fail_frame_after(1) == 0);
    CHECK_THROWS_AS(static_cast<void>(allocate_frame(100'000)), std::bad_alloc);
    CHECK(live_frames() == before);
}

TEST_CASE("frame_allocator: a forked child allocates, alone or with threads of its own") {
    filled_frames frames;
    frames.add(64);
    std::thread other([] { filled_frames().add(64); });
    const pid_t child = ::fork();
    if (child == 0) {
        std::vector<std::thread> threads;
        // ThreadSanitizer ends a forked child that starts a thread.
        const int wanted = sanitizer == instrument::thread ? 0 : 4;
        for (int i = 0; i < wanted; ++i) threads.emplace_back([] { filled_frames().add(64); });
        for (std::thread& thread : threads) thread.join();
        void* mine = allocate_frame(64);
        const bool counted = live_frames() >= 2;
        deallocate_frame(mine, 64);
        ::_exit(counted ? 0 : 1);
    }
    other.join();
    int status = -1;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
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
}  // namespace
