#pragma once

#include <lariat/base/clock.hpp>
#include <lariat/base/config.hpp>
#include <lariat/driver/op.hpp>
#include <lariat/loop/mailbox.hpp>
#include <lariat/task/late_arm.hpp>
#include <lariat/task/promise.hpp>

#include <atomic>
#include <coroutine>
#include <cstdint>
#include <memory>
#include <optional>
#include <system_error>

namespace lariat::detail {

/// Waiting for a word of memory that several processes may map: what primitives in shared memory
/// are made of. Words are those of futex(2), 32 bits, waited for and woken as shared ones.
///
/// The rule of a word: whoever changes it so that a waiter may get on, wakes after that. A wait for
/// a word that has got back the value it is waited with need not end: what let it get on was taken
/// by another, who came first.
using futex_word = std::atomic<std::uint32_t>;

/// How a wait ended.
enum class futex_end : std::uint8_t {
    woken,      ///< it may have taken a wake from another who waits; a wake may be for nothing
    changed,    ///< the word had another value; no wake was taken
    cancelled,  ///< by cancel(); no wake was taken
    timed_out,  ///< a thread's deadline came; no wake was taken
    failed,     ///< for want of a thread to wait with
};

/// Wakes at most `count` of those who wait for the word, here or in other processes. Any thread;
/// one system call. Returns how many.
LARIAT_EXPORT int futex_wake(const futex_word& word, int count) noexcept;

/// For plain threads: sleeps while the word has this value. `timed_out` also if it has another and
/// the deadline has come.
[[nodiscard]] LARIAT_EXPORT futex_end futex_wait_blocking(const futex_word& word,
                                                          std::uint32_t expected,
                                                          time_point deadline) noexcept;

/// What an attempt at something says: it is done, or there is no use in another before `word` has
/// another value than `value`.
class futex_step {
 public:
    [[nodiscard]] static futex_step done() noexcept { return {}; }
    [[nodiscard]] static futex_step wait(const futex_word& word, std::uint32_t value) noexcept {
        futex_step step;
        step.word_ = &word;
        step.value_ = value;
        return step;
    }

    [[nodiscard]] bool is_done() const noexcept { return word_ == nullptr; }
    /// Pre: not done, for both.
    [[nodiscard]] const futex_word& word() const noexcept { return *word_; }
    [[nodiscard]] std::uint32_t value() const noexcept { return value_; }

 private:
    futex_step() noexcept = default;

    const futex_word* word_ = nullptr;
    std::uint32_t value_ = 0;
};

/// For plain threads: calls attempt(), which returns a futex_step, until it is done, and sleeps
/// between. False if it was not by the deadline; it was tried once more then. Cost: no system call
/// if the first succeeds.
template <class Attempt>
[[nodiscard]] bool futex_block(Attempt attempt, time_point deadline) {
    for (;;) {
        const futex_step step = attempt();
        if (step.is_done()) return true;
        if (futex_wait_blocking(step.word(), step.value(), deadline) == futex_end::timed_out)
            return attempt().is_done();
    }
}

struct futex_lane;
struct loop_state;

/// What the helper thread knows of a wait: where it is to look, and the message that takes the news
/// to the loop.
struct futex_errand : posted {
    explicit futex_errand(action on_end) noexcept : posted(on_end) {}

    const futex_word* word = nullptr;
    std::uint32_t expected = 0;
    const std::shared_ptr<mailbox>* box = nullptr;  ///< the loop's own: it stays while this waits
    futex_end ended_as = futex_end::woken;          ///< out: when the message arrives
    // The helper's, under its lock:
    futex_lane* lane = nullptr;  ///< that has it; null: it has ended
    bool cancel_asked = false;
};

/// One wait of a loop's for one word, without a thread of its own. By the loop's driver where it
/// does such, else by the process's helper thread; a loop asks its driver once.
///
/// States       idle -> with the driver | with the helper -> idle (and the completion is called);
///              with the driver -> with the helper (refused)
/// Order        of those who wait for one word any may be woken first
/// Threads      the loop's own
/// Lifetime     stays from start() to the completion, inside which it may go; a run of the loop
///              does not end between the two. The word stays mapped as long
/// Allocation   none here; the helper: see runtime/src/loop/futex_helper.hpp
class LARIAT_EXPORT futex_watch : private op, private futex_errand {
 public:
    using completion = void (*)(futex_watch&, futex_end) noexcept;

    explicit futex_watch(completion on_end) noexcept;
    /// Pre: idle, both of them.
    futex_watch(futex_watch&& other) noexcept;
    ~futex_watch();

    /// Waits while the word has this value. Returns how it ended if that was at once (changed,
    /// woken or failed): then the completion is not called. Pre: idle; a loop runs here.
    [[nodiscard]] std::optional<futex_end> start(const futex_word& on,
                                                 std::uint32_t while_value) noexcept;
    /// Asks that it end soon: with `cancelled`, or as it does by itself. An idle one: nothing.
    void cancel() noexcept;
    [[nodiscard]] bool idle() const noexcept { return place_ == place::idle; }
    /// Of the last that has failed.
    [[nodiscard]] std::error_code error() const noexcept { return error_; }

 private:
    enum class place : std::uint8_t { idle, driver, helper };

    [[nodiscard]] std::optional<futex_end> refused(std::int32_t answer) noexcept;
    void hold(loop_state& loop, place with) noexcept;
    void release() noexcept;
    void end(futex_end how) noexcept { complete_(*this, how); }
    static void completed(op& done) noexcept;
    static void arrived(posted& message, posted::end how);

    completion complete_;
    std::error_code error_;
    place place_ = place::idle;
    bool withdrawn_ = false;
};

/// The part of futex_verb that does not depend on the verb.
class LARIAT_EXPORT futex_wait_point : public wait_point, private futex_watch {
 public:
    /// The `cut` of every such verb's wait_kind.
    static void leave(waiter& w) noexcept;

    /// As an arm of a select (sync/selectable.hpp: late_arm). Waits on behalf of `p`; false if it
    /// is over, done after all or failed. Pre: idle.
    [[nodiscard]] bool enlist(party& p, const late_arm_reports& to) noexcept;
    /// Asks it to wait no longer. True if it does not any more; else it reports `left` when it has
    /// taken its leave.
    [[nodiscard]] bool withdraw() noexcept;

 protected:
    struct rules {
        futex_step (*attempt)(futex_wait_point&) noexcept;
        void (*cut)(futex_wait_point&, bool woken) noexcept;
    };

    futex_wait_point(const wait_kind& what, const rules& how) noexcept
        : wait_point(what), futex_watch(&futex_wait_point::ended), rules_(&how) {}
    /// Pre: not awaited yet.
    futex_wait_point(futex_wait_point&& other) noexcept;
    ~futex_wait_point() = default;

    /// False if it is over: done after all, or failed.
    [[nodiscard]] bool keep_trying(futex_step step) noexcept;
    /// Why it could not be waited for; none if it was done or cut.
    [[nodiscard]] std::error_code failure() const noexcept { return failure_; }
    /// Errors: `cancelled`; std::system_error if it could not be waited for.
    void finish() const {
        throw_if_cut();
        if (failure_) [[unlikely]]
            throw_failure();
    }

 private:
    [[noreturn]] void throw_failure() const;
    static void ended(futex_watch& watch, futex_end how) noexcept;
    void end(wake_reason how) noexcept;

    const rules* rules_;
    const late_arm_reports* arm_ = nullptr;  // of the select that it waits for
    std::error_code failure_;
    bool cut_asked_ = false;
};

/// What the verbs of primitives in shared memory derive from (the waiting twin of futex_block). The
/// verb tries until it succeeds or is cut; in between the coroutine is not resumed.
///
///     class lock_wait : public futex_verb<lock_wait>, public single_step {
///      public:
///         explicit lock_wait(mutex& which) : futex_verb(kind_of_wait), mutex_(&which) {}
///         futex_step attempt() noexcept;        // the lock, or what to wait for
///         void passed_on() noexcept;            // futex_wake(mutex_->word, 1)
///         void await_resume() const { finish(); }
///         static constexpr wait_kind kind_of_wait{"a shared mutex", &futex_wait_point::leave};
///     };
///
/// attempt()     tries, on the loop's thread; never blocks. Not called again once it is done
/// passed_on()   the wait was cut, and it may have taken a wake: another is to have it
/// gave_up()     if there is one: the wait was cut, after an attempt in vain; before passed_on
///
/// An awaiter, and an arm of a select, where it leaves later: only when its word's wait has ended.
///
/// Suspends until attempt() is done · Errors: std::system_error for want of a thread to wait with
/// · Cancel: attempt() has not succeeded; once it has, the success is delivered · Cost: if the
/// first attempt succeeds, nothing beside it
template <class Verb>
class futex_verb : public futex_wait_point {
 public:
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
        party& p = party_of(frame);
        const futex_step step = static_cast<Verb&>(*this).attempt();
        if (step.is_done() || !keep_trying(step)) return pass(p, frame);
        park(p, frame);
        return true;
    }
    /// As an arm of a select: tries once, and is as it was if that was in vain.
    [[nodiscard]] bool attempt_as_arm(party& p) noexcept {
        auto& verb = static_cast<Verb&>(*this);
        who = &p;
        p.reason = wake_reason::done;  // of this wait: the last one may have been cut
        if (verb.attempt().is_done()) return true;
        if constexpr (requires { verb.gave_up(); }) verb.gave_up();
        return false;
    }

 protected:
    explicit futex_verb(const wait_kind& what) noexcept : futex_wait_point(what, rules_of_verb) {}
    futex_verb(futex_verb&&) noexcept = default;
    ~futex_verb() = default;

 private:
    static futex_step try_again(futex_wait_point& self) noexcept {
        return static_cast<Verb&>(self).attempt();
    }
    static void was_cut_short(futex_wait_point& self, bool woken) noexcept {
        auto& verb = static_cast<Verb&>(self);
        if constexpr (requires { verb.gave_up(); }) verb.gave_up();
        if (woken) verb.passed_on();
    }
    static constexpr rules rules_of_verb{&try_again, &was_cut_short};
};

}  // namespace lariat::detail
