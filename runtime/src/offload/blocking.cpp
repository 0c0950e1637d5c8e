#include <lariat/offload/blocking.hpp>

#include <lariat/base/assert.hpp>
#include <lariat/base/error.hpp>
#include <lariat/loop/loop.hpp>

#include "base/fork_guard.hpp"
#include "offload/process_cores.hpp"
#include "offload/worker_threads.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <pthread.h>

namespace lariat::detail {

namespace {

std::size_t default_threads() noexcept {
    // As in Python's ThreadPoolExecutor: some more than cores, as they mostly wait; no crowd on a
    // big machine.
    return std::min<std::size_t>(32, std::max(1U, std::thread::hardware_concurrency()) + 4);
}

void join_all(std::vector<std::thread> ended) {
    for (std::thread& thread : ended) thread.join();
}

/// The pool whose thread this is, or null.
constinit thread_local const void* own_pool = nullptr;

/// The shared pool, once it is made: so asking whether a pool is that one does not make it.
constinit std::atomic<const blocking_pool*> made_shared{nullptr};

/// How the shared pool is to be made, until it is.
struct shared_plan {
    std::mutex mutex;
    thread_pool_options options;

    static shared_plan& get() {
        static shared_plan only;
        return only;
    }
};

}  // namespace

struct blocking_pool::state {
    explicit state(const thread_pool_options& options)
        : most(options.most_threads != 0 ? options.most_threads : default_threads()),
          most_queued(options.most_queued),
          idle_after(options.idle_after),
          name(options.name) {}

    [[nodiscard]] bool has_room() const noexcept;
    void let_in() noexcept;
    void take_out(blocking_job& job) noexcept;
    [[nodiscard]] worker_thread* call_someone(blocking_job& job, std::thread& gone);
    void work(worker_thread& self);
    void run_one(std::unique_lock<std::mutex>& held) noexcept;
    [[nodiscard]] bool rest(worker_thread& self, std::unique_lock<std::mutex>& held);
    void name_thread(std::size_t number) const noexcept;
    void tell_ended() noexcept;
    [[nodiscard]] bool is_over() const noexcept { return shut && workers.alive() == 0; }
    /// What a forked child finds is its parent's: threads that are not here, frames of its loops.
    void start_anew() noexcept;
    void require_home() const noexcept {
        require(home.at_home(),
                "a pool inherited through fork has no threads in the child: make a new one there");
    }

    const std::size_t most;
    const std::size_t most_queued;
    const duration idle_after;
    const std::string name;
    fork_guard home;
    std::mutex mutex;
    std::condition_variable thread_ended;
    list<blocking_job> queue;
    list<blocking_job> line;  ///< for room in the queue
    worker_threads workers;
    std::vector<promise<>> on_end;
    thread_pool_stats counts;  ///< but what `workers` counts
    bool shut = false;
    bool cancels = false;  ///< shut, and what has not begun never will
};

// The work that an idle thread, or one that can still be made, takes at once is not queued.
bool blocking_pool::state::has_room() const noexcept {
    if (most_queued == 0) return true;
    const std::size_t soon =
        workers.idle() + workers.on_their_way() + (most - std::min(most, workers.alive()));
    return counts.queued < most_queued + soon;
}

void blocking_pool::state::let_in() noexcept {
    while (counts.waiting != 0 && has_room()) {
        blocking_job& job = line.pop_front();
        --counts.waiting;
        job.in_line = false;
        queue.push_back(job);
        ++counts.queued;
        if (job.hooks != nullptr && job.hooks->admitted != nullptr) job.hooks->admitted(job);
    }
}

void blocking_pool::state::take_out(blocking_job& job) noexcept {
    job.unlink();
    --(job.in_line ? counts.waiting : counts.queued);
    job.in_line = false;
    ++counts.taken_back;
}

// For the job that was just queued: returns whom to notify. None is called for work that somebody
// who is on the way, or a thread that is at work, will come by.
worker_thread* blocking_pool::state::call_someone(blocking_job& job, std::thread& gone) {
    if (counts.queued <= workers.on_their_way()) return nullptr;
    if (workers.idle() != 0) return &workers.call();
    if (workers.alive() >= most) return nullptr;
    std::error_code refused;
    try {
        workers.start([this](worker_thread& self) { work(self); }, gone);
        return nullptr;
    } catch (const std::system_error& error) {
        refused = error.code();
    } catch (const std::bad_alloc&) {
        refused = std::make_error_code(std::errc::not_enough_memory);
    }
    if (workers.alive() != 0) return nullptr;  // those there are will do it
    job.unlink();
    --counts.queued;
    throw std::system_error(refused, "starting a thread for blocking work");
}

void blocking_pool::state::name_thread(std::size_t number) const noexcept {
    constexpr std::size_t shown = 15;  // pthread_setname_np(3)
    const std::string mark = "-" + std::to_string(number);
    const std::string full = name.substr(0, shown - mark.size()) + mark;
    ::pthread_setname_np(::pthread_self(), full.c_str());
}

void blocking_pool::state::work(worker_thread& self) {
    own_pool = this;
    name_thread(self.number);
    leave_callers_cores();
    std::unique_lock held(mutex);
    workers.is_up();
    do {
        while (counts.queued != 0) run_one(held);
    } while (!shut && rest(self, held));
    workers.end(self);
    if (is_over()) tell_ended();
    thread_ended.notify_all();
}

void blocking_pool::state::run_one(std::unique_lock<std::mutex>& held) noexcept {
    blocking_job& job = queue.pop_front();
    --counts.queued;
    ++counts.running;
    let_in();
    held.unlock();
    job.run(job);
    held.lock();
    --counts.running;
    ++counts.ended;
}

/// False if it is to end.
bool blocking_pool::state::rest(worker_thread& self, std::unique_lock<std::mutex>& held) {
    workers.lie_down(self);
    const auto called = [&self] { return self.called; };
    const time_point until = saturating_add(clock::now(), idle_after);
    if (!self.called_changed.wait_until(held, until, called)) {
        workers.get_up(self);
        return false;
    }
    workers.is_up();
    if (!workers.take_told_to_end(self)) return true;
    if (counts.queued == 0) return false;
    thread_ended.notify_all();  // who waits for those that were told waits for this one no more
    return true;
}

void blocking_pool::state::tell_ended() noexcept {
    for (promise<>& told : on_end) told.set_value();
    on_end.clear();
}

void blocking_pool::state::start_anew() noexcept {
    workers.forget();
    new (&thread_ended) std::condition_variable();
    new (&queue) list<blocking_job>();
    new (&line) list<blocking_job>();
    counts = thread_pool_stats();
    home = fork_guard();
}

blocking_pool::blocking_pool(const thread_pool_options& options)
    : state_(std::make_unique<state>(options)) {}

blocking_pool::~blocking_pool() {
    if (!state_->home.at_home()) {
        (void)state_.release();  // its threads are the parent's; there is nothing to join
        return;
    }
    shut(pool_shutdown::finish);
    wait_ended();
}

blocking_pool& blocking_pool::shared() {
    // Never destroyed: a thread that still works at exit may come back to it.
    static blocking_pool* const pool = [] {
        shared_plan& plan = shared_plan::get();
        const std::lock_guard held(plan.mutex);
        static blocking_pool* made = new blocking_pool(plan.options);
        const int failed = ::pthread_atfork([] { made->state_->mutex.lock(); },
                                            [] { made->state_->mutex.unlock(); },
                                            [] {
                                                made->state_->start_anew();
                                                made->state_->mutex.unlock();
                                            });
        if (failed != 0) throw std::bad_alloc();
        made_shared.store(made, std::memory_order_release);
        return made;
    }();
    static const struct closer {
        ~closer() { pool->end_idle(); }
    } at_exit;
    return *pool;
}

void blocking_pool::configure_shared(const thread_pool_options& options) {
    shared_plan& plan = shared_plan::get();
    const std::lock_guard held(plan.mutex);
    if (made_shared.load(std::memory_order_relaxed) != nullptr) {
        throw std::logic_error(
            "lariat: the shared pool of threads is in use already.\n"
            "  right: configure it at the beginning of main, before the first loop runs");
    }
    plan.options = options;
}

bool blocking_pool::enqueue(blocking_job& job, bool may_stand_in_line) {
    state_->require_home();
    std::thread gone;
    worker_thread* called = nullptr;
    bool in_queue = true;
    {
        const std::lock_guard held(state_->mutex);
        if (state_->shut) throw closed_error("this pool of threads was shut down");
        in_queue = state_->counts.waiting == 0 && state_->has_room();
        if (in_queue) {
            state_->queue.push_back(job);
            ++state_->counts.queued;
            called = state_->call_someone(job, gone);
        } else if (may_stand_in_line) {
            state_->line.push_back(job);
            ++state_->counts.waiting;
            job.in_line = true;
        } else {
            return false;
        }
        ++state_->counts.submitted;
    }
    // Without the lock, or it would get up only to wait for that. The job may have ended by now.
    if (called != nullptr) called->called_changed.notify_one();
    if (gone.joinable()) gone.join();
    return in_queue;
}

bool blocking_pool::withdraw(blocking_job& job) noexcept {
    const std::lock_guard held(state_->mutex);
    if (!job.linked()) return false;
    state_->take_out(job);
    state_->let_in();
    return true;
}

bool blocking_pool::leave_line(blocking_job& job) noexcept {
    const std::lock_guard held(state_->mutex);
    if (!job.linked() || !job.in_line) return false;
    state_->take_out(job);
    return true;
}

bool blocking_pool::give_way(blocking_job& job) noexcept {
    {
        const std::lock_guard held(state_->mutex);
        if (!state_->cancels) {
            if (state_->counts.queued == 0) return false;
            state_->queue.push_back(job);
            ++state_->counts.queued;
            ++state_->counts.submitted;
            return true;
        }
        ++state_->counts.submitted;
        ++state_->counts.taken_back;
    }
    job.hooks->dropped(job, false);
    return true;
}

void blocking_pool::shut(pool_shutdown how) noexcept {
    state_->require_home();
    // Acquire: who can name the shared pool has seen it made; for all others any answer is right.
    require(this != made_shared.load(std::memory_order_acquire),
            "the shared pool serves the whole program: it is not shut down");
    std::unique_lock held(state_->mutex);
    state_->shut = true;
    if (how == pool_shutdown::cancel_queued) state_->cancels = true;
    // One by one: who waits for another may take it back meanwhile.
    while (state_->cancels && state_->counts.queued + state_->counts.waiting != 0) {
        list<blocking_job>& from = state_->counts.queued != 0 ? state_->queue : state_->line;
        blocking_job& job = from.front();
        const bool was_in_line = job.in_line;
        state_->take_out(job);
        held.unlock();
        job.hooks->dropped(job, was_in_line);
        held.lock();
    }
    state_->workers.tell_idle_to_end();
    if (state_->is_over()) state_->tell_ended();
}

future<> blocking_pool::when_ended() {
    promise<> told;
    future<> ended = told.get_future();
    const std::lock_guard held(state_->mutex);
    require(state_->shut, "the end of a pool is waited for once it was shut down");
    if (state_->is_over())
        told.set_value();
    else
        state_->on_end.push_back(std::move(told));
    return ended;
}

void blocking_pool::wait_ended() {
    state_->require_home();
    require(own_pool != state_.get(),
            "a pool's own work cannot wait for the end of the pool: it would wait for itself");
    std::vector<std::thread> ended;
    {
        std::unique_lock held(state_->mutex);
        require(state_->shut, "the end of a pool is waited for once it was shut down");
        state_->thread_ended.wait(held, [this] { return state_->is_over(); });
        ended = state_->workers.take_ended();
    }
    join_all(std::move(ended));
}

void blocking_pool::end_idle() {
    state_->require_home();
    std::vector<std::thread> ended;
    {
        std::unique_lock held(state_->mutex);
        state_->workers.tell_idle_to_end();
        state_->thread_ended.wait(held, [this] { return state_->workers.ending() == 0; });
        ended = state_->workers.take_ended();
    }
    join_all(std::move(ended));
}

thread_pool_stats blocking_pool::stats() const {
    const std::lock_guard held(state_->mutex);
    thread_pool_stats now = state_->counts;
    now.threads = state_->workers.alive();
    now.idle = state_->workers.idle();
    return now;
}

std::size_t blocking_pool::most_threads() const noexcept { return state_->most; }

const wait_kind blocking_wait::kind_of_wait{"blocking work on another thread",
                                            &blocking_wait::leave};
const job_hooks blocking_wait::hooks_of_wait{&blocking_wait::dropped};

blocking_wait::blocking_wait(blocking_pool& pool, blocking_job::action work) noexcept
    : wait_point(kind_of_wait),
      blocking_job(work, &hooks_of_wait),
      posted(&arrived),
      pool_(&pool) {}

blocking_wait::blocking_wait(blocking_wait&& other) noexcept
    : wait_point(static_cast<wait_point&&>(other)),
      blocking_job(other.run, &hooks_of_wait),
      posted(&arrived),
      pool_(other.pool_) {}

blocking_wait::~blocking_wait() {
    require(!in_flight_, "a task was destroyed while its work ran on another thread");
}

void blocking_wait::start() {
    box_ = loop::current().box();
    pool_->submit(*this);
    in_flight_ = true;
}

void blocking_wait::finished() noexcept {
    // Kept here: once the message has arrived, nothing keeps the mailbox from going while it is
    // used.
    const std::shared_ptr<mailbox> box = std::move(box_);
    const bool taken = box->post(*this);
    require(taken, "a loop was closed while a task of its waited for blocking work");
}

void blocking_wait::arrived(posted& message, end how) {
    auto& self = static_cast<blocking_wait&>(message);
    self.in_flight_ = false;
    if (how == end::call) self.wake();
}

void blocking_wait::dropped(blocking_job& job, bool) noexcept {
    auto& self = static_cast<blocking_wait&>(job);
    self.dropped_ = true;
    self.finished();
}

void blocking_wait::throw_dropped() {
    throw closed_error("the pool of threads was shut down before this work began");
}

void blocking_wait::leave(waiter& w) noexcept {
    auto& self = static_cast<blocking_wait&>(w);
    if (!self.pool_->withdraw(self)) return;  // it runs: its own end decides
    self.in_flight_ = false;
    self.box_.reset();
    self.wake(wake_reason::cut);
}

}  // namespace lariat::detail
