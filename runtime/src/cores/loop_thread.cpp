#include <lariat/cores/loop_thread.hpp>

#include <lariat/base/assert.hpp>
#include <lariat/base/error.hpp>
#include <lariat/loop/loop.hpp>
#include <lariat/task/sleep.hpp>

#include "cores/loop_thread_state.hpp"

#include <cstdlib>
#include <new>
#include <utility>

namespace lariat {

namespace {

struct serve_main final : detail::thread_main {
    task<> begin() override { return serve(); }
    static task<> serve() {
        for (time_point end = forever;;) co_await sleep_until(end);
    }
};

void require_other(const detail::loop_thread_state& which) noexcept {
    detail::require(!which.on_it(), "a thread cannot wait for its own end");
}

void require_plain() noexcept {
    detail::require(this_scheduler == nullptr,
                    "a loop's thread is not blocked for the end of another: co_await join() there");
}

task<> join_state(std::shared_ptr<detail::loop_thread_state> which) {
    future<> ended = which->when_ended();
    co_await ended;
    which->join_thread();
    which->throw_failure();
}

}  // namespace

loop_thread::loop_thread() noexcept = default;

loop_thread::loop_thread(const loop_thread_options& options)
    : loop_thread(options, std::make_unique<serve_main>()) {}

loop_thread::loop_thread(const loop_thread_options& options,
                         std::unique_ptr<detail::thread_main> main)
    : state_(std::make_shared<detail::loop_thread_state>(options, std::move(main))) {
    detail::thread_list& all = detail::thread_list::get();
    all.reap();
    state_->start();
    all.add(state_);
}

loop_thread::loop_thread(loop_thread&& other) noexcept = default;

loop_thread& loop_thread::operator=(loop_thread&& other) noexcept {
    if (this != &other) {
        end();
        state_ = std::move(other.state_);
    }
    return *this;
}

loop_thread::~loop_thread() { end(); }

void loop_thread::end() noexcept {
    if (state_ == nullptr) return;
    if (!state_->home.at_home()) {
        state_.reset();  // the thread is the parent's; the list of all keeps what is known of it
        return;
    }
    require_other(*state_);
    state_->stop();
    (void)state_->wait_ended(forever);
    state_->join_thread();
    state_->report_failure();
    detail::thread_list::get().remove(*state_);
    state_.reset();
}

task<> loop_thread::join() const {
    require_other(at_home());
    return join_state(state_);
}

void loop_thread::join_blocking() const {
    require_other(at_home());
    require_plain();
    (void)state_->wait_ended(forever);
    state_->join_thread();
    state_->throw_failure();
}

void loop_thread::join_blocking(duration length) const {
    require_other(at_home());
    require_plain();
    if (!state_->wait_ended(saturating_add(clock::now(), length)))
        throw timeout_error("waiting for the end of the thread " + state_->name);
    state_->join_thread();
    state_->throw_failure();
}

void loop_thread::stop() const { at_home().stop(); }

void loop_thread::detach() {
    detail::loop_thread_state& which = at_home();
    // Each time anew, so that it comes before the end of what is there by now.
    if (std::atexit(&detail::thread_list::at_exit) != 0) throw std::bad_alloc();
    which.detach();
    detail::thread_list::get().reap();
    state_.reset();
}

bool loop_thread::is_alive() const noexcept {
    detail::loop_thread_state& which = checked();
    return which.home.at_home() && which.alive();
}

const std::string& loop_thread::name() const noexcept { return checked().name; }

std::thread::id loop_thread::id() const noexcept { return checked().id; }

loop_ref loop_thread::ref() const { return *checked().ref; }

detail::loop_thread_state& loop_thread::checked() const noexcept {
    detail::require(state_ != nullptr, "this loop_thread names no thread");
    return *state_;
}

detail::loop_thread_state& loop_thread::at_home() const noexcept {
    detail::loop_thread_state& which = checked();
    detail::require(which.home.at_home(),
                    "a loop_thread inherited through fork has no thread in the child: there it can "
                    "only be destroyed");
    return which;
}

std::vector<loop_thread_info> loop_threads() {
    detail::thread_list& list = detail::thread_list::get();
    list.reap();
    std::vector<loop_thread_info> all;
    for (const auto& each : list.all()) {
        loop_thread_info& info = all.emplace_back();
        info.name = each->name;
        info.id = each->id;
        info.alive = each->alive();
        info.daemon = each->options.daemon;
    }
    return all;
}

std::size_t active_loop_threads() {
    std::size_t alive = 0;
    for (const loop_thread_info& each : loop_threads()) {
        if (each.alive) ++alive;
    }
    return alive;
}

}  // namespace lariat
