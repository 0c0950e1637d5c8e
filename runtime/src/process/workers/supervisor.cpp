#include "process/workers/supervisor.hpp"

#include <lariat/loop/io.hpp>
#include <lariat/loop/loop.hpp>
#include <lariat/offload/signals.hpp>
#include <lariat/task/spawn.hpp>

#include "process/workers/desk.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <string>
#include <system_error>
#include <utility>

#include <sched.h>

namespace lariat::detail {

namespace {

/// A pause after which a client in the queue is still served in time.
constexpr auto unnoticed = std::chrono::milliseconds(100);

std::vector<unsigned> usable_cores() {
    std::vector<unsigned> all;
    cpu_set_t set;
    CPU_ZERO(&set);
    if (::sched_getaffinity(0, sizeof set, &set) == 0) {
        for (unsigned i = 0; i < CPU_SETSIZE; ++i)
            if (CPU_ISSET(i, &set)) all.push_back(i);
    }
    if (all.empty()) all.push_back(0);
    return all;
}

void say(const std::string& what) { std::fprintf(stderr, "lariat: %s\n", what.c_str()); }

std::string called(const workers_options& options, const worker_instance& who) {
    std::string text = options.name + "-" + std::to_string(who.index);
    if (options.mode == workers_mode::processes) text += " (pid " + std::to_string(who.pid()) + ")";
    return text;
}

duration time_to_end(const workers_options& options) {
    const duration most = duration::max() - options.drain;
    return options.drain + std::min(options.grace, most);
}

}  // namespace

supervisor::supervisor(worker_function function, const workers_options& options)
    : function_(function),
      options_(options),
      cores_(usable_cores()),
      seats_(options.count == per_core ? cores_.size() : options.count),
      sockets_(options.sharing) {}

task<int> supervisor::run() {
    if (!options_.status_path.empty())
        door_ = std::make_unique<status_door>(options_.status_path, [this] { return status(); });
    signs_.emplace(signals(SIGINT, SIGTERM, SIGHUP));  // held before there is a worker to lose
    auto watching = spawn(watch_signals());
    for (unsigned i = 0; i < seats_.size(); ++i) start_current(i);
    while (!over()) {
        std::optional<event> news = co_await events_.get();
        handle(*news);
    }
    watching.cancel();
    door_.reset();
    co_return exit_code_;
}

void supervisor::handle(event& news) {
    switch (news.what) {
        case happening::ready: became_ready(news); break;
        case happening::leaving: told_to_end(news); break;
        case happening::closed:
            news.who->closed = true;
            if (stopping_) close_unused_sockets();
            break;
        case happening::ended: has_ended(news); break;
        case happening::restart:
            if (!stopping_ && !seats_[news.seat].current) start_current(news.seat);
            break;
        case happening::overdue:
            // It may have become ready while this lay in the queue.
            if (news.who->ended || (news.who->ready && !news.who->leaving)) break;
            say(called(options_, *news.who) +
                (news.who->leaving ? " did not end in time" : " was not ready in time") +
                (options_.mode == workers_mode::processes ? " and is killed"
                                                          : "; a thread cannot be killed") +
                (news.who->leaving ? "" : " (it is with its first listener, or by ready())"));
            news.who->kill();
            break;
        case happening::reload: begin_reload(); break;
        case happening::stop: stop_all(0); break;
    }
}

bool supervisor::over() const noexcept {
    if (!running_.empty()) return false;
    return stopping_ || std::ranges::all_of(seats_, [](const seat& each) { return each.done; });
}

std::optional<unsigned> supervisor::core_of(unsigned index) const {
    if (!options_.pin) return std::nullopt;
    return cores_[index % cores_.size()];
}

supervisor::instance supervisor::start(unsigned index) {
    auto made = std::make_shared<worker_instance>(
        function_, options_, index, static_cast<unsigned>(seats_.size()), core_of(index));
    running_.push_back(made);
    (void)spawn(watch_end(made));
    (void)spawn(watch_desk(made));
    return made;
}

void supervisor::start_current(unsigned index) {
    try {
        seats_[index].current = start(index);
        call_when_overdue(seats_[index].current, options_.start_limit);
    } catch (const std::exception& failed) {
        start_failed(index, failed.what());
    }
}

void supervisor::start_failed(unsigned index, const std::string& why) {
    say(options_.name + "-" + std::to_string(index) + " was not started: " + why);
    ++seats_[index].failed_starts;
    back_off(index);
}

task<> supervisor::watch_end(instance who) {
    worker_end how = co_await who->wait_end();
    who->ended = true;
    (void)who->deadline.cancel();
    event news{happening::ended, who->index, who, std::move(how)};
    events_.put_nowait(std::move(news));
}

task<> supervisor::watch_desk(instance who) {
    for (;;) {
        co_await wait_readable(who->desk.get());
        const desk_news news = look_at_desk(who->desk.get());
        if (news.gone) break;
        if (!news.message) continue;
        const bool refused = news.message->what == desk_request::listener &&
                             !answer(*who, news.message->address, news.message->port);
        if (refused) continue;  // that worker can serve nobody
        event said{happening::ready, who->index, who, worker_end()};
        if (news.message->what == desk_request::leaving) said.what = happening::leaving;
        if (news.message->what == desk_request::closed) said.what = happening::closed;
        events_.put_nowait(std::move(said));
    }
}

bool supervisor::answer(const worker_instance& who, const std::string& address,
                        std::uint16_t port) {
    int error = 0;
    int listener = -1;
    std::string words;
    try {
        listener = sockets_.find(who.index, address, port);
    } catch (const std::system_error& refused) {
        error = refused.code().value();
        words = refused.what();
    } catch (const std::exception& refused) {
        error = EINVAL;
        words = refused.what();
    }
    answer_listener(who.desk.get(), listener, error, words);
    return error == 0;
}

task<> supervisor::watch_signals() {
    for (;;) {
        const int number = co_await signs_->next();
        event news{number == SIGHUP ? happening::reload : happening::stop, 0, nullptr,
                   worker_end()};
        events_.put_nowait(std::move(news));
    }
}

void supervisor::became_ready(const event& news) {
    if (news.who->ready || news.who->ended) return;
    news.who->ready = true;
    if (!news.who->leaving) (void)news.who->deadline.cancel();
    seat& at = seats_[news.seat];
    at.failed_starts = 0;
    if (at.replacement != news.who) return;
    (void)at.restart.cancel();
    const instance old = std::exchange(at.current, std::exchange(at.replacement, nullptr));
    at.crashes = 0;
    if (old) {
        ask_to_end(old);
    } else {
        reload_from(news.seat + 1);
    }
}

/// A SIGTERM that was not ours: it drains, and another takes its seat. One that was not ready yet
/// counts as crashed when it has ended, so that what kills itself at its start is given up.
void supervisor::told_to_end(const event& news) {
    const instance who = news.who;
    seat& at = seats_[news.seat];
    if (stopping_ || who->leaving || who->ended || !who->ready || at.current != who) return;
    who->leaving = true;
    call_when_overdue(who, time_to_end(options_));
    say(called(options_, *who) + " was told to end by another than its supervisor: replaced");
    at.current = nullptr;
    if (at.replacement) return;  // of a reload
    ++at.restarts;
    start_current(news.seat);
}

void supervisor::has_ended(event& news) {
    std::erase(running_, news.who);
    seat& at = seats_[news.seat];
    if (news.how.lost && !stopping_) {
        say(called(options_, *news.who) + " is lost, and all are stopped: " + news.how.reason);
        stop_all(1);
    }
    if (stopping_) close_unused_sockets();
    if (at.replacement == news.who) {
        at.replacement = nullptr;
        if (!stopping_) replacement_failed(news.seat, news.how.reason);
        return;
    }
    if (at.current == news.who) {
        at.current = nullptr;
        if (stopping_) return;
        if (news.how.well && !news.who->leaving) {
            if (at.replacement) return;  // which takes the seat, and its sockets
            at.done = true;
            sockets_.close_of(news.seat);
        } else {
            crashed(news.seat, *news.who, news.how.well ? "it ended" : news.how.reason);
        }
        return;
    }
    // The old one of a reload, or one that somebody else told to end.
    if (!news.how.well) say(called(options_, *news.who) + " ended with " + news.how.reason);
    if (!stopping_ && reloading_ == news.seat && !at.replacement) reload_from(news.seat + 1);
}

void supervisor::crashed(unsigned index, const worker_instance& who, const std::string& reason) {
    seat& at = seats_[index];
    say(called(options_, who) + " crashed: " + reason);
    if (clock::now() - who.started >= options_.most_backoff) at.crashes = 0;
    if (!who.ready) ++at.failed_starts;
    back_off(index);
}

void supervisor::back_off(unsigned index) {
    seat& at = seats_[index];
    if (at.failed_starts >= options_.most_failed_starts) {
        say(options_.name + "-" + std::to_string(index) + " failed " +
            std::to_string(at.failed_starts) + " times before it was ready: giving up");
        stop_all(1);
        return;
    }
    const unsigned doublings = std::min(at.crashes++, 30U);
    const duration wait = options_.first_backoff > options_.most_backoff / (1U << doublings)
                              ? options_.most_backoff
                              : options_.first_backoff * (1U << doublings);
    const auto serves = [](const instance& each) { return each->ready && !each->leaving; };
    // The kernel would go on to give it its share of the clients.
    if (wait > unnoticed && std::ranges::any_of(running_, serves)) sockets_.close_idle_of(index);
    ++at.restarts;
    at.restart = loop::current().call_later(wait, [this, index] {
        event news{happening::restart, index, nullptr, worker_end()};
        events_.put_nowait(std::move(news));
    });
}

void supervisor::begin_reload() {
    if (stopping_) return;
    if (reloading_) {
        reload_again_ = true;
        return;
    }
    reload_from(0);
}

void supervisor::reload_from(unsigned index) {
    if (stopping_) return;
    while (index < seats_.size() && seats_[index].done) ++index;
    if (index == seats_.size()) {
        reloading_.reset();
        if (std::exchange(reload_again_, false)) begin_reload();
        return;
    }
    reloading_ = index;
    seat& at = seats_[index];
    (void)at.restart.cancel();
    try {
        at.replacement = start(index);
        ++at.restarts;
        call_when_overdue(at.replacement, options_.start_limit);
    } catch (const std::exception& failed) {
        replacement_failed(index, failed.what());
    }
}

void supervisor::replacement_failed(unsigned index, const std::string& reason) {
    seat& at = seats_[index];
    say(options_.name + "-" + std::to_string(index) + ": its replacement did not start: " +
        (reason.empty() ? "it ended at once" : reason) + (at.current ? "; the old one stays" : ""));
    if (!at.current) back_off(index);
    reload_from(index + 1);
}

void supervisor::ask_to_end(const instance& who) {
    if (who->leaving || who->ended) return;
    who->ask_to_end();
    call_when_overdue(who, time_to_end(options_));
}

void supervisor::call_when_overdue(const instance& who, duration limit) {
    (void)who->deadline.cancel();
    who->deadline = loop::current().call_later(limit, [this, who] {
        event news{happening::overdue, who->index, who, worker_end()};
        events_.put_nowait(std::move(news));
    });
}

void supervisor::stop_all(int exit_code) {
    if (stopping_) return;
    stopping_ = true;
    exit_code_ = exit_code;
    for (seat& each : seats_) (void)each.restart.cancel();
    sockets_.turn_away();  // before a worker looks into its queue for the last time
    for (const instance& each : running_) ask_to_end(each);
    close_unused_sockets();
}

/// Those that no worker will accept from any more.
void supervisor::close_unused_sockets() noexcept {
    const auto accepts = [](const instance& each) { return !each->closed; };
    if (std::ranges::none_of(running_, accepts)) return sockets_.close_all();
    for (unsigned i = 0; i < seats_.size(); ++i) {
        const auto of_seat = [&](const instance& each) {
            return each->index == i && accepts(each);
        };
        if (std::ranges::none_of(running_, of_seat)) sockets_.close_of(i);
    }
}

std::string supervisor::status() const {
    std::string text;
    for (const instance& each : running_) {
        const worker_counters& counted = *each->counters;
        const auto get = [](const std::atomic<std::uint64_t>& of) {
            return std::to_string(of.load(std::memory_order_relaxed));
        };
        const char* state = each->leaving ? "leaving" : each->ready ? "serving" : "starting";
        const auto age =
            std::chrono::duration_cast<std::chrono::milliseconds>(clock::now() - each->started);
        text += "{\"worker\": " + std::to_string(each->index);
        text += ", \"pid\": " + std::to_string(each->pid());
        text += std::string(", \"state\": \"") + state + "\"";
        text += ", \"connections\": " + get(counted.served.open);
        text += ", \"accepted\": " + get(counted.served.accepted);
        text += ", \"requests\": " + get(counted.requests);
        text += ", \"loop_lag_ns\": " + get(counted.lag_nanoseconds);
        text += ", \"restarts\": " + std::to_string(seats_[each->index].restarts);
        text += ", \"age_ms\": " + std::to_string(age.count()) + "}\n";
    }
    return text;
}

}  // namespace lariat::detail
