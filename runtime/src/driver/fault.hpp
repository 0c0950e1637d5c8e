#pragma once

#include <lariat/base/clock.hpp>
#include <lariat/driver/op.hpp>
#include <lariat/driver/options.hpp>

#include "driver/random.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include <sys/socket.h>
#include <sys/uio.h>

namespace lariat::detail {

/// What goes wrong with one operation.
struct fault {
    enum class what : std::uint8_t { fail, shorten, delay, delay_for, late_cancel };
    what kind;
    std::uint32_t amount = 0;  ///< an errno, bytes, or polls
    duration time{};

    /// It is not submitted; -`error` is its result.
    static fault fail(int error) { return {what::fail, static_cast<std::uint32_t>(error)}; }
    /// It transfers at most `bytes`. A multishot op has no length to cut.
    static fault shorten(std::uint32_t bytes) { return {what::shorten, bytes}; }
    /// It happens in its time, and is told `polls` turns (or so much time) later.
    static fault delay(std::uint32_t polls) { return {what::delay, polls}; }
    static fault delay_for(duration time) { return {what::delay_for, 0, time}; }
    /// The cancellation reaches the driver `polls` turns late: most often after the op completed.
    static fault late_cancel(std::uint32_t polls) { return {what::late_cancel, polls}; }
};

/// The driver under the plan.
class fault_target {
 public:
    virtual bool submit(op& o) noexcept = 0;
    virtual void cancel(op& o) noexcept = 0;
    virtual void poll(time_point until) = 0;
    [[nodiscard]] virtual time_point now() const noexcept = 0;
    virtual ~fault_target() = default;
};

/// Faults for tests of what stands above a driver: every one of them is something a kernel may do,
/// and the driver's contract holds all the while. `driver::set_faults` puts a plan in place.
///
/// A plan is scripted (`at`), seeded (`sometimes`), or both. The nth submission of a code counts
/// from 0, and from when the plan was made.
///
/// Threads      the driver's
/// Lifetime     outlives its place in the driver; leaves it when nothing is in flight
/// Allocation   for every operation: it is for tests
class fault_plan {
 public:
    explicit fault_plan(std::uint64_t seed = 1) : random_(seed) {}
    fault_plan(const fault_plan&) = delete;
    fault_plan& operator=(const fault_plan&) = delete;

    /// `wrong` strikes the nth submission of `code`.
    fault_plan& at(op_code code, std::size_t nth, fault wrong);
    /// `wrong` strikes `per_mille` of a thousand submissions of `code`, or of all codes but close.
    fault_plan& sometimes(std::uint32_t per_mille, fault wrong,
                          std::optional<op_code> code = std::nullopt);
    /// Completions of one turn come in any order, each op's own in theirs.
    fault_plan& reorder(bool on = true);
    /// How many faults have struck.
    [[nodiscard]] std::size_t struck() const noexcept { return struck_; }

    // For class driver: its calls, on the way to the target.
    [[nodiscard]] bool submit(fault_target& target, op& o);
    void cancel(fault_target& target, op& o);
    void poll(fault_target& target, time_point until);
    /// `raw` is the target's; what is held back here is still in flight.
    [[nodiscard]] driver_stats adjust(driver_stats raw) const noexcept;
    [[nodiscard]] bool idle() const noexcept { return records_.empty(); }

 private:
    struct rule {
        std::optional<op_code> code;
        std::optional<std::size_t> nth;
        std::uint32_t per_mille = 0;
        fault wrong;
    };
    /// What was changed in an op on its way, and what is to happen to it.
    struct record {
        op::completion complete = nullptr;
        std::uint32_t length = 0;
        void* address = nullptr;
        msghdr message{};  // the cut one, in the place of the caller's
        iovec part{};
        bool cut_message = false;
        bool over = false;  // the target is done with it (or never had it): only telling is left
        std::uint64_t delay_turns = 0;
        duration delay_time{};
        std::uint64_t cancel_late = 0;
        std::optional<std::uint64_t> cancel_turn;
    };
    /// A completion that is not told yet.
    struct event {
        op* item;
        std::int32_t result;
        bool more;
        std::uint32_t lent;
        void* address;
        std::uint64_t turn;
        time_point time;
    };

    static void intercept(op& o) noexcept;
    void apply(const fault& wrong, op& o, record& r, std::optional<int>& error);
    void cut(op& o, record& r, std::uint32_t bytes);
    void restore(op& o, const record& r) noexcept;
    void note(op& o, time_point now);
    void forward_cancels(fault_target& target);
    [[nodiscard]] time_point limit(time_point until) const noexcept;
    void tell(fault_target& target);
    [[nodiscard]] std::vector<event> take_due(time_point now);
    void shuffle(std::vector<event>& due);

    random_source random_;
    std::vector<rule> rules_;
    std::map<op_code, std::size_t> submissions_;
    std::map<const op*, record> records_;
    std::vector<event> events_;  // in the order in which they happened
    fault_target* polled_ = nullptr;
    bool reorders_ = false;
    std::uint64_t turn_ = 0;
    std::uint64_t never_submitted_ = 0;
    std::size_t struck_ = 0;
};

}  // namespace lariat::detail
