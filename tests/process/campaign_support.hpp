#pragma once

#include <lariat/process/process.hpp>
#include <lariat/process/shm.hpp>
#include <lariat/process/wire.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

/// What the processes of a campaign work on, and how they are watched.
namespace lariat::test {

/// A small generator that can be seeded by two numbers; splitmix64 (Steele, Lea, Flood 2014).
class dice {
 public:
    explicit dice(std::uint64_t seed) noexcept : state_(seed) {}
    [[nodiscard]] std::uint64_t operator()() noexcept {
        std::uint64_t mixed = state_ += 0x9e3779b97f4a7c15;
        mixed = (mixed ^ (mixed >> 30U)) * 0xbf58476d1ce4e5b9;
        mixed = (mixed ^ (mixed >> 27U)) * 0x94d049bb133111eb;
        return mixed ^ (mixed >> 31U);
    }
    /// From 0 to below `end`.
    [[nodiscard]] std::uint32_t below(std::uint32_t end) noexcept {
        return static_cast<std::uint32_t>((*this)() >> 32U) % end;
    }

 private:
    std::uint64_t state_;
};

/// LARIAT_TEST_<name>, a number, or `otherwise`.
[[nodiscard]] std::uint64_t asked_for(const char* variable, std::uint64_t otherwise);

// Sanitizers make a process's start some ten times as long.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr std::uint64_t usual_kills = 200;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
inline constexpr std::uint64_t usual_kills = 200;
#else
inline constexpr std::uint64_t usual_kills = 2000;
#endif
#else
inline constexpr std::uint64_t usual_kills = 2000;
#endif

inline constexpr std::size_t seats = 4;         // processes at once
inline constexpr std::size_t tasks_a_seat = 3;  // in those that have a loop
inline constexpr std::size_t most_actors = 64;  // processes of a round, one after another
inline constexpr std::size_t most_jobs = 4096;  // of a round
inline constexpr std::uint32_t permits = 3;

/// Who put it, and how many it had put before.
struct delivery {
    std::uint32_t author = 0;
    std::uint32_t number = 0;
};

/// All shared objects of a round. An argument, as they are.
struct stage {
    shm::value<int> over;                            ///< 1: come to an end
    shm::queue<std::uint32_t> jobs{16};              ///< numbers, each once
    shm::array<std::uint32_t> jobs_done{most_jobs};  ///< how often each was said to be done
    shm::queue<delivery> deliveries{16};
    shm::array<std::uint32_t> delivered{most_actors * tasks_a_seat};  ///< put for certain
    shm::queue<std::string> texts{4, 64};
    shm::queue<shm::value<int>> handles{4};

    shm::mutex mutex;  ///< of the first pair of numbers; and so on
    shm::recursive_mutex recursive;
    shm::semaphore one_at_a_time{1};
    shm::rw_mutex readers_and_writers;
    shm::array<std::uint64_t> pairs{8};

    shm::semaphore at_most{permits};
    shm::mutex tokens_lock;
    shm::condition tokens_changed;
    shm::value<int> tokens;
    shm::barrier two{2};
    shm::event now_and_then;

    void pack_into(detail::parcel_writer& to) const;
    [[nodiscard]] static stage unpack_from(detail::parcel_reader& from);
};

/// Two numbers that are the same whenever nobody is inside.
enum class pair_of : std::size_t { mutex = 0, recursive = 2, semaphore = 4, rw_mutex = 6 };
/// Adds to both of them, one after the other. Errors: std::logic_error if they are not the same.
void work_inside(const stage& on, pair_of which);
/// Errors as its.
void look_inside(const stage& on, pair_of which);
/// After the death of one who was inside.
void repair_inside(const stage& on, pair_of which);

/// A text that shows damage, and whether it does.
[[nodiscard]] std::string sound_text(std::uint32_t bytes);
void check_text(const std::string& text);

/// The processes' functions: do one thing after the other, by chance, until it is over.
void act_in_thread(stage on, std::uint32_t actor, std::uint64_t seed);
task<> act_on_loop(stage on, std::uint32_t actor, std::uint64_t seed);

/// Waits for its end. False if that hangs: for a second nobody of the family has run, nor wanted to
/// (so a machine that is slow is no hang).
[[nodiscard]] bool ends(const process& child, const std::array<int, seats + 1>& family);

}  // namespace lariat::test
