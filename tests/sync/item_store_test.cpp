#include <lariat/sync/item_store.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>

namespace {

using lariat::detail::fifo_store;

template <class T>
T popped(fifo_store<T>& from) {
    std::optional<T> item;
    from.pop_into(item);
    return *std::move(item);
}

TEST_CASE("item_store: whatever is pushed and popped, it is what a deque would give") {
    for (unsigned seed = 0; seed < 200; ++seed) {
        std::mt19937 random(seed);
        const auto bias = 20 + random() % 60;  // per cent of pushes: it fills, breathes, or dries
        fifo_store<std::string> store;
        std::deque<std::string> model;
        for (int step = 0; step < 2000; ++step) {
            if (random() % 100 < bias) {
                const std::string item = "item number " + std::to_string(step);
                store.push(item);
                model.push_back(item);
            } else if (!model.empty()) {
                REQUIRE(popped(store) == model.front());
                model.pop_front();
            }
            REQUIRE(store.size() == model.size());
        }
        while (!model.empty()) {
            REQUIRE(popped(store) == model.front());
            model.pop_front();
        }
    }
}

TEST_CASE("item_store: a run ends where there may be no more, and at the end of a block") {
    for (unsigned seed = 0; seed < 200; ++seed) {
        std::mt19937 random(seed);
        const auto bias = 20 + random() % 60;
        fifo_store<int> store;
        std::deque<int> model;
        std::size_t may_push = 0;
        std::size_t may_pop = 0;
        std::uint64_t ever = 0;
        for (int step = 0; step < 2000; ++step) {
            if (random() % 100 < bias) {
                if (store.push_runs()) {
                    REQUIRE(may_push != 0);
                    --may_push;
                    store.push_in_run(step);
                } else {
                    store.push(step);
                    may_push = random() % 20;
                    store.begin_push_run(may_push);
                }
                ++ever;
                model.push_back(step);
            } else if (!model.empty()) {
                std::optional<int> item;
                if (store.pop_runs()) {
                    REQUIRE(may_pop != 0);
                    --may_pop;
                    store.pop_in_run(item);
                } else {
                    store.pop_into(item);
                    store.begin_pop_run();
                    may_pop = model.size() - 1;
                }
                REQUIRE(item == model.front());
                model.pop_front();
            } else {
                REQUIRE(!store.pop_runs());
                REQUIRE(store.empty());
            }
            if (random() % 50 == 0) {
                store.end_push_run();
                store.end_pop_run();
                may_push = may_pop = 0;
            }
            REQUIRE(store.size() == model.size());
            REQUIRE(store.pushed() == ever);
        }
    }
}

TEST_CASE("item_store: what is left in it is destroyed, in however many blocks it lies") {
    const auto counted = std::make_shared<int>(0);
    for (const int left : {0, 1, 8, 9, 1000}) {
        CAPTURE(left);
        {
            fifo_store<std::shared_ptr<int>> store;
            for (int i = 0; i < left + 100; ++i) store.push(counted);
            for (int i = 0; i < 100; ++i) (void)popped(store);
            CHECK(counted.use_count() == left + 1);
        }
        CHECK(counted.use_count() == 1);
    }
}

/// Its copy throws when it is told to.
struct refuses {
    explicit refuses(int what) : value(what) {}
    refuses(const refuses& other) : value(other.value) {
        if (now) throw std::runtime_error("copied");
    }
    refuses(refuses&& other) noexcept : value(other.value) {}
    refuses& operator=(const refuses&) = delete;

    int value;
    static inline bool now = false;
};

TEST_CASE("item_store: an item that cannot be made changes nothing, also in a new block") {
    fifo_store<refuses> store;
    for (int i = 0; i < 40; ++i) {
        refuses::now = true;
        const refuses never(-1);
        CHECK_THROWS_AS(store.push(never), std::runtime_error);
        refuses::now = false;
        CHECK(store.size() == static_cast<std::size_t>(i));
        store.push(refuses(i));
    }
    for (int i = 0; i < 40; ++i) CHECK(popped(store).value == i);
    refuses::now = true;
    const refuses never(-1);
    CHECK_THROWS_AS(store.push(never), std::runtime_error);
    refuses::now = false;
    CHECK(store.size() == 0);
    store.push(refuses(7));
    CHECK(popped(store).value == 7);
}

/// Counts those that came to lie where they may not.
struct alignas(64) wide {
    explicit wide(int what) noexcept : value(what) {}
    wide(wide&& other) noexcept : value(other.value) {
        if (reinterpret_cast<std::uintptr_t>(this) % 64 != 0) ++misplaced;
    }
    wide& operator=(wide&&) = delete;

    int value;
    static inline int misplaced = 0;
};
struct huge {
    char bytes[10'000];
};

TEST_CASE("item_store: items of any alignment and any size lie where they may") {
    fifo_store<wide> aligned;
    for (int i = 0; i < 300; ++i) aligned.push(wide(i));
    for (int i = 0; i < 300; ++i) CHECK(popped(aligned).value == i);
    CHECK(wide::misplaced == 0);
    fifo_store<huge> large;
    for (char i = 0; i < 5; ++i) {
        huge item{};
        item.bytes[9'999] = i;
        large.push(item);
    }
    for (char i = 0; i < 5; ++i) CHECK(popped(large).bytes[9'999] == i);
}

}  // namespace
