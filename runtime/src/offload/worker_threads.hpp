#pragma once

#include "base/signals_blocked.hpp"

#include <lariat/base/list.hpp>

#include <condition_variable>
#include <cstddef>
#include <memory>
#include <new>
#include <thread>
#include <utility>
#include <vector>

namespace lariat::detail {

/// A pool's place for one thread. It is kept when the thread has ended, for the next one: so a
/// caller that was overtaken may still notify it.
///
/// States       spare -> called (start) -> busy -> idle (rest) -> called (call) ... -> spare (end)
struct worker_thread : list_link {
    explicit worker_thread(std::size_t its_number) noexcept : number(its_number) {}

    std::thread thread;
    std::condition_variable called_changed;
    bool called = false;       ///< it has been given a reason to get up
    bool told_to_end = false;  ///< and this is it
    std::size_t number;
};

/// The places of one pool's threads: those that are idle, the one that worked last first, and those
/// without a thread. The pool's lock guards it.
class worker_threads {
 public:
    [[nodiscard]] std::size_t alive() const noexcept { return alive_; }
    [[nodiscard]] std::size_t idle() const noexcept { return idle_count_; }
    /// How many have been called and are not up yet.
    [[nodiscard]] std::size_t on_their_way() const noexcept { return on_their_way_; }

    /// Makes a thread that runs body(place). `gone` is the one that was there before: to be joined
    /// without the lock. Errors: std::system_error, std::bad_alloc.
    template <class Body>
    void start(Body body, std::thread& gone) {
        if (spare_.empty()) {
            places_.push_back(std::make_unique<worker_thread>(places_.size() + 1));
            spare_.push_back(*places_.back());
        }
        worker_thread& place = spare_.front();
        const signals_blocked quiet;
        std::thread made([body, &place] { body(place); });
        gone = std::exchange(place.thread, std::move(made));
        place.unlink();
        ++alive_;
        ++on_their_way_;
    }
    /// Pre: somebody is idle. The caller notifies it, best without the lock.
    [[nodiscard]] worker_thread& call() noexcept {
        worker_thread& place = idle_.pop_front();
        --idle_count_;
        ++on_their_way_;
        place.called = true;
        return place;
    }
    void tell_idle_to_end() noexcept {
        while (idle_count_ != 0) {
            worker_thread& place = call();
            place.told_to_end = true;
            ++ending_;
            place.called_changed.notify_one();
        }
    }
    /// How many have been told so and are still there.
    [[nodiscard]] std::size_t ending() const noexcept { return ending_; }

    // The rest is the thread's own side.
    void is_up() noexcept { --on_their_way_; }
    void lie_down(worker_thread& place) noexcept {
        place.called = false;
        idle_.push_front(place);
        ++idle_count_;
    }
    /// Nobody has called: it takes itself out.
    void get_up(worker_thread& place) noexcept {
        place.unlink();
        --idle_count_;
    }
    /// What it was told while it was idle; once.
    [[nodiscard]] bool take_told_to_end(worker_thread& place) noexcept {
        const bool told = std::exchange(place.told_to_end, false);
        if (told) --ending_;
        return told;
    }
    void end(worker_thread& place) noexcept {
        --alive_;
        spare_.push_front(place);
    }

    /// The threads that have ended, to be joined without the lock.
    [[nodiscard]] std::vector<std::thread> take_ended() {
        std::vector<std::thread> ended;
        ended.reserve(places_.size());
        for (worker_thread& place : spare_) {
            if (place.thread.joinable()) ended.push_back(std::move(place.thread));
        }
        return ended;
    }

    /// In a forked child: the threads are the parent's. Their places are written over, not
    /// destroyed: a thread that is not here cannot be joined.
    void forget() noexcept {
        new (&idle_) list<worker_thread>();
        new (&spare_) list<worker_thread>();
        for (const auto& place : places_) {
            const std::size_t number = place->number;
            spare_.push_back(*new (place.get()) worker_thread(number));
        }
        alive_ = idle_count_ = on_their_way_ = ending_ = 0;
    }

 private:
    std::vector<std::unique_ptr<worker_thread>> places_;
    list<worker_thread> idle_;
    list<worker_thread> spare_;
    std::size_t alive_ = 0;
    std::size_t idle_count_ = 0;
    std::size_t on_their_way_ = 0;
    std::size_t ending_ = 0;
};

}  // namespace lariat::detail
