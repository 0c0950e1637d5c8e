#pragma once

#include "driver/driver.hpp"

#include <lariat/base/clock.hpp>
#include <lariat/driver/op.hpp>
#include <lariat/driver/options.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/resource.h>

namespace driver_test {

using lariat::op;
using lariat::op_code;
using lariat::detail::driver;
using namespace std::chrono_literals;

/// An op that remembers how it completed, and gives lent buffers back as it notes their bytes.
struct recorded : op {
    struct outcome {
        int result;
        bool more;
        std::string bytes;
    };
    std::vector<outcome> seen;
    driver* gives_back_to = nullptr;  ///< nullptr: `held` keeps the names
    std::vector<std::uint32_t> held;
    std::string received;               ///< all lent bytes
    void (*then)(recorded&) = nullptr;  ///< called inside each completion, last

    recorded(op_code what, int descriptor) noexcept;
    /// What a completion, or a submit that said true, left in the op.
    void note();
    [[nodiscard]] bool ended() const { return !seen.empty() && !seen.back().more; }
    [[nodiscard]] int result() const { return seen.empty() ? -EINPROGRESS : seen.back().result; }
};

recorded receive(int fd, std::string& into);
recorded transmit(int fd, std::string_view bytes);
recorded repeated(op_code code, int fd, driver* gives_back_to);
recorded readiness(int fd, short events);
recorded link_to(int fd, const sockaddr_in& address);

/// One driver and a world of sockets around it: the kernel's, or the simulated ones. Ends given out
/// are closed at the end; then descriptors and operations are counted back to what they were.
class world {
 public:
    explicit world(const lariat::driver_options& options);
    world(const world&) = delete;
    world& operator=(const world&) = delete;
    ~world();

    [[nodiscard]] bool simulated() const { return under_test->sim() != nullptr; }
    [[nodiscard]] driver& drive() { return *under_test; }
    /// What it was made with, for a second one like it.
    [[nodiscard]] const lariat::driver_options& options() const { return made_with; }

    /// Submits; true when it finished at once. Nothing may complete inside.
    bool start(recorded& o);
    void cancel(recorded& o);
    /// Polls until `done()`; false when that takes more than twenty seconds.
    template <class Done>
    [[nodiscard]] bool run_until(Done done) {
        const lariat::time_point limit = under_test->now() + 20s;
        while (!done()) {
            if (under_test->now() >= limit) return false;
            under_test->poll(limit);
        }
        return true;
    }
    [[nodiscard]] bool finish(recorded& o) {
        return run_until([&o] { return o.ended(); });
    }
    /// Polls that do not wait: as many as it takes for what has happened to come through.
    void settle();

    /// Connected stream sockets; `bytes`: what may be under way before the other end must read
    /// (0: the system's choice; the kernel's is a lower bound).
    std::pair<int, int> pair(std::size_t bytes = 0);
    int socket();
    int listener(int backlog = 128);
    [[nodiscard]] sockaddr_in address_of(int listener);
    /// A caller from outside, connected when it returns.
    int call(int listener);

    // The other end's deeds, done at once and outside the driver.
    int put(int fd, std::string_view bytes);
    std::string take(int fd, std::size_t most = 65536);
    /// Takes until `bytes` have come, with turns between.
    std::string take_all(int fd, std::size_t bytes);
    void end_sending(int fd);
    void close(int fd);
    void reset(int fd);

    /// What the driver gave or took.
    void adopt(int fd) { open_.push_back(fd); }
    void forget(int fd) { std::erase(open_, fd); }

    /// No more descriptors than there are now, until lift_limit(). A guard in the kernel's case.
    void limit_descriptors();
    void lift_limit();

 private:
    std::size_t descriptors_before_;
    lariat::driver_options made_with;
    driver* under_test = nullptr;
    std::vector<int> open_;
    rlimit limit_before_{};
    bool limited_ = false;
};

/// How many descriptors this process has open.
std::size_t open_descriptors();
/// What LARIAT_BACKEND allows here: tests of the kernel's backends run in its own run only.
bool allowed(lariat::backend backend);

template <lariat::backend Backend, std::uint32_t Features = lariat::all_uring_features>
struct world_on : world {
    static lariat::driver_options plain() {
        lariat::driver_options options;
        options.backend = Backend;
        options.uring_features = Features;
        return options;
    }
    explicit world_on(const lariat::driver_options& options = plain()) : world(options) {}
    static bool here() { return allowed(Backend); }
};

constexpr std::uint32_t without(std::uint32_t mask, lariat::uring_feature feature) {
    return mask & ~static_cast<std::uint32_t>(feature);
}
/// Kernels of the past: 6.1, before the incremental buffers; 5.19, before the multishot receive;
/// 5.15, the oldest.
inline constexpr std::uint32_t features_6_1 =
    without(without(without(lariat::all_uring_features, lariat::uring_feature::incremental_buffers),
                    lariat::uring_feature::no_iowait),
            lariat::uring_feature::futex);
inline constexpr std::uint32_t features_5_19 =
    without(without(without(features_6_1, lariat::uring_feature::defer_taskrun),
                    lariat::uring_feature::single_issuer),
            lariat::uring_feature::multishot_recv);
inline constexpr std::uint32_t features_5_15 = 0;

using epoll = world_on<lariat::backend::epoll>;
using sim = world_on<lariat::backend::sim>;
using uring = world_on<lariat::backend::uring>;
using uring_6_1 = world_on<lariat::backend::uring, features_6_1>;
using uring_5_19 = world_on<lariat::backend::uring, features_5_19>;
using uring_5_15 = world_on<lariat::backend::uring, features_5_15>;

}  // namespace driver_test

TYPE_TO_STRING(driver_test::epoll);
TYPE_TO_STRING(driver_test::sim);

// Every world that was built; each of them declines in the run that is another's.
#if LARIAT_HAS_URING
TYPE_TO_STRING(driver_test::uring);
TYPE_TO_STRING(driver_test::uring_6_1);
TYPE_TO_STRING(driver_test::uring_5_19);
TYPE_TO_STRING(driver_test::uring_5_15);
#define LARIAT_WORLDS                                                                 \
    driver_test::epoll, driver_test::sim, driver_test::uring, driver_test::uring_6_1, \
        driver_test::uring_5_19, driver_test::uring_5_15
#else
#define LARIAT_WORLDS driver_test::epoll, driver_test::sim
#endif

/// A test of the contract, once in every world. `w` is the world.
#define LARIAT_CONTRACT_TEST(sentence) \
    LARIAT_CONTRACT_TEST_AS(sentence, DOCTEST_ANONYMOUS(contract_test_))
#define LARIAT_CONTRACT_TEST_AS(sentence, body)                              \
    static void body(driver_test::world& w);                                 \
    TEST_CASE_TEMPLATE("driver contract: " sentence, World, LARIAT_WORLDS) { \
        if (!World::here()) return;                                          \
        World w;                                                             \
        body(w);                                                             \
    }                                                                        \
    static void body(driver_test::world& w)
