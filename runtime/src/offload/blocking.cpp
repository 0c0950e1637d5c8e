#include <lariat/offload/blocking.hpp>

#include <lariat/base/assert.hpp>
#include <lariat/loop/loop.hpp>

#include <algorithm>
#include <condition_variable>
#include <list>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

namespace lariat::detail {

namespace {

using thread_list = std::list<std::thread>;

std::size_t default_threads() noexcept {
    // As in Python's ThreadPoolExecutor: some more than cores, as they mostly wait; no crowd on a
    // big machine.
    return std::min<std::size_t>(32, std::max(1U, std::thread::hardware_concurrency()) + 4);
}

/// Blocks every signal for its lifetime: threads made meanwhile inherit that.
class signals_blocked {
 public:
    signals_blocked() noexcept {
        sigset_t all;
        ::sigfillset(&all);
        ::pthread_sigmask(SIG_SETMASK, &all, &kept_);
    }
    signals_blocked(const signals_blocked&) = delete;
    ~signals_blocked() { ::pthread_sigmask(SIG_SETMASK, &kept_, nullptr); }

 private:
    sigset_t kept_;
};

}  // namespace

struct blocking_pool::state {
    explicit state(const blocking_limits& limits)
        : most(limits.most_threads != 0 ? limits.most_threads : default_threads()),
          idle_after(limits.idle_after) {}

    void start_thread();
    void work(thread_list::iterator self);
    /// What a forked child finds is its parent's: threads that are not here, frames of its loops.
    void start_anew() noexcept;

    const std::size_t most;
    const duration idle_after;
    const pid_t process = ::getpid();
    std::mutex mutex;
    std::condition_variable work_or_end;
    std::condition_variable thread_ended;
    list<blocking_job> queue;
    thread_list threads;
    thread_list ended;  // joined by the next who comes by
    std::size_t queued = 0;
    std::size_t idle = 0;
    std::size_t running = 0;
    bool ending = false;
};

// Under the mutex.
void blocking_pool::state::start_thread() {
    const auto self = threads.emplace(threads.end());
    try {
        const signals_blocked quiet;
        *self = std::thread([this, self] { work(self); });
    } catch (...) {
        threads.erase(self);
        throw;
    }
}

void blocking_pool::state::work(thread_list::iterator self) {
    ::pthread_setname_np(::pthread_self(), "lariat-blocking");
    std::unique_lock held(mutex);
    for (;;) {
        if (queued != 0) {
            blocking_job& job = queue.pop_front();
            --queued;
            ++running;
            held.unlock();
            job.run(job);
            held.lock();
            --running;
            continue;
        }
        ++idle;
        const bool called = work_or_end.wait_until(held, saturating_add(clock::now(), idle_after),
                                                   [this] { return queued != 0 || ending; });
        --idle;
        if (queued == 0 && (ending || !called)) break;
    }
    ended.splice(ended.end(), threads, self);
    thread_ended.notify_all();
}

void blocking_pool::state::start_anew() noexcept {
    // Written over, not destroyed: each would wait for, or stop at, threads that are not here.
    for (std::thread& thread : threads) new (&thread) std::thread();
    for (std::thread& thread : ended) new (&thread) std::thread();
    new (&work_or_end) std::condition_variable();
    new (&thread_ended) std::condition_variable();
    new (&queue) list<blocking_job>();
    threads.clear();
    ended.clear();
    queued = idle = running = 0;
}

blocking_pool::blocking_pool(const blocking_limits& limits)
    : state_(std::make_unique<state>(limits)) {}

blocking_pool::~blocking_pool() {
    if (state_->process != ::getpid()) {
        (void)state_.release();  // its threads are the parent's; there is nothing to join
        return;
    }
    {
        std::unique_lock held(state_->mutex);
        require(state_->queued == 0, "a pool must outlive the tasks that wait for its work");
        state_->ending = true;
        state_->work_or_end.notify_all();
        state_->thread_ended.wait(held, [this] { return state_->threads.empty(); });
    }
    for (std::thread& thread : state_->ended) thread.join();
}

blocking_pool& blocking_pool::shared() {
    // Never destroyed: a thread that still works at exit may come back to it.
    static blocking_pool* const pool = [] {
        static blocking_pool* made = new blocking_pool;
        const int failed = ::pthread_atfork([] { made->state_->mutex.lock(); },
                                            [] { made->state_->mutex.unlock(); },
                                            [] {
                                                made->state_->start_anew();
                                                made->state_->mutex.unlock();
                                            });
        if (failed != 0) throw std::bad_alloc();
        return made;
    }();
    static const struct closer {
        ~closer() { pool->end_idle(); }
    } at_exit;
    return *pool;
}

void blocking_pool::submit(blocking_job& job) {
    thread_list gone;
    {
        const std::lock_guard held(state_->mutex);
        state_->queue.push_back(job);
        ++state_->queued;
        gone.splice(gone.end(), state_->ended);
        if (state_->queued > state_->idle && state_->threads.size() < state_->most) {
            try {
                state_->start_thread();
            } catch (const std::system_error& error) {
                if (state_->threads.empty()) {
                    job.unlink();
                    --state_->queued;
                    throw std::system_error(error.code(), "a thread for blocking work");
                }
            }
        }
        state_->work_or_end.notify_one();
    }
    for (std::thread& thread : gone) thread.join();
}

bool blocking_pool::withdraw(blocking_job& job) noexcept {
    const std::lock_guard held(state_->mutex);
    if (!job.linked()) return false;
    job.unlink();
    --state_->queued;
    return true;
}

void blocking_pool::end_idle() {
    thread_list gone;
    {
        std::unique_lock held(state_->mutex);
        state_->ending = true;
        state_->work_or_end.notify_all();
        state_->thread_ended.wait(held, [this] { return state_->idle == 0; });
        state_->ending = false;
        gone.splice(gone.end(), state_->ended);
    }
    for (std::thread& thread : gone) thread.join();
}

blocking_stats blocking_pool::stats() const {
    const std::lock_guard held(state_->mutex);
    blocking_stats now;
    now.threads = state_->threads.size();
    now.idle = state_->idle;
    now.queued = state_->queued;
    now.running = state_->running;
    return now;
}

const wait_kind blocking_wait::kind_of_wait{"blocking work on another thread",
                                            &blocking_wait::leave};

blocking_wait::blocking_wait(blocking_pool& pool, blocking_job::action work) noexcept
    : wait_point(kind_of_wait), blocking_job(work), posted(&arrived), pool_(&pool) {}

blocking_wait::blocking_wait(blocking_wait&& other) noexcept
    : wait_point(static_cast<wait_point&&>(other)),
      blocking_job(other.run),
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

void blocking_wait::leave(waiter& w) noexcept {
    auto& self = static_cast<blocking_wait&>(w);
    if (!self.pool_->withdraw(self)) return;  // it runs: its own end decides
    self.in_flight_ = false;
    self.box_.reset();
    self.wake(wake_reason::cut);
}

}  // namespace lariat::detail
