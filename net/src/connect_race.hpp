#pragma once

#include <lariat/base/clock.hpp>
#include <lariat/base/result.hpp>
#include <lariat/net/address.hpp>
#include <lariat/task/join_handle.hpp>
#include <lariat/task/nothrow.hpp>
#include <lariat/task/task.hpp>
#include <lariat/task/task_group.hpp>
#include <lariat/task/timeout.hpp>

#include <chrono>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace lariat::detail {

/// Why each address was of no use, in the order of failing.
struct connect_failures {
    struct one {
        endpoint to;
        std::error_code why;
    };
    std::vector<one> each;
};

/// " (127.0.0.1:80: Connection refused; [::1]:80: Network is unreachable)"; empty for one alone,
/// whose reason is told anyway.
[[nodiscard]] std::string in_brackets(const connect_failures& failed);

/// The first address's family first, then by turns, each family in its order (RFC 8305, 4).
[[nodiscard]] std::vector<endpoint> families_in_turn(const std::vector<endpoint>& found);

/// Tries addresses one after the other, and does not wait long for any: "Happy Eyeballs", RFC 8305.
///
/// `Attempt` is called with an endpoint and gives a task<result<Connected>>; cancelled, it leaves
/// nothing behind.
///
/// Order        the next address is tried when the latest has failed, or `head_start` after it
///              began
/// Lifetime     outlives run(); one that is destroyed with a winner drops it
template <class Connected, class Attempt>
class connect_race {
 public:
    /// The Connection Attempt Delay that RFC 8305, 5 recommends.
    static constexpr std::chrono::milliseconds usual_head_start{250};

    connect_race(std::vector<endpoint> to, Attempt& attempt, connect_failures& failed,
                 duration head_start = usual_head_start)
        : to_(std::move(to)), attempt_(&attempt), failed_(&failed), head_start_(head_start) {}

    /// Suspends until one has succeeded and the others have ended, or all have failed · Returns the
    /// first to succeed, or the error of the last to fail · Cancel: cancels all. Pre: there is an
    /// address.
    [[nodiscard]] task<result<Connected>> run() {
        auto body = [this](task_group& all) { return start_in_turn(all); };
        co_await with_group(body);
        if (!winner_) co_return failed_->each.back().why;
        co_return std::move(*winner_);
    }

 private:
    task<> start_in_turn(task_group& all) {
        for (const endpoint& to : to_) {
            join_handle<> latest = all.spawn(try_one(all, to));
            auto ending = timeout(head_start_, latest);
            const auto ended = co_await nothrow(std::move(ending));
            (void)ended;  // failed, or still trying: in either case it is the next one's turn
        }
    }

    task<> try_one(task_group& all, endpoint to) {
        result<Connected> made = co_await (*attempt_)(to);
        if (!made) {
            failed_->each.push_back({to, made.error()});
        } else if (!winner_) {
            winner_.emplace(*std::move(made));
            all.cancel();
        }
    }

    std::vector<endpoint> to_;
    Attempt* attempt_;
    connect_failures* failed_;
    duration head_start_;
    std::optional<Connected> winner_;
};

}  // namespace lariat::detail
