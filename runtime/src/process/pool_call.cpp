#include <lariat/process/pool_call.hpp>

#include <lariat/base/error.hpp>
#include <lariat/process/remote_error.hpp>
#include <lariat/process/worker_died.hpp>

#include "process/pool_core.hpp"

#include <cstddef>
#include <string>
#include <utility>

namespace lariat {

namespace {

constexpr std::size_t few_bytes = 1024;

std::string describe_end(const std::string& worker, int pid, int exit_code,
                         const std::string& exception) {
    const std::string who = worker + " (pid " + std::to_string(pid) + ") ";
    if (exit_code < 0)
        return who + "was ended by signal " + std::to_string(-exit_code) +
               " while it ran this call";
    if (!exception.empty())
        return who +
               "was ended, while it ran this call, by an exception in a task that a call had "
               "spawned: " +
               exception;
    return who + "ended with exit code " + std::to_string(exit_code) +
           " while it ran this call: a call must not end its process, which has others to make\n"
           "  wrong: std::exit(" +
           std::to_string(exit_code) +
           ");\n"
           "  right: return a result, or throw an exception: it reaches whoever awaits the call";
}

}  // namespace

worker_died::worker_died(const std::string& worker, int pid, int exit_code,
                         const std::string& uncaught)
    : std::runtime_error(describe_end(worker, pid, exit_code, uncaught)),
      pid_(pid),
      exit_code_(exit_code) {}
worker_died::~worker_died() = default;

pool_start_error::pool_start_error(const std::string& what) : std::runtime_error(what) {}
pool_start_error::~pool_start_error() = default;

namespace detail {

worker_call::worker_call(packed_call&& call) noexcept
    : what(std::move(call)), bytes(what.arguments.bytes.size()) {}

bool worker_call::runs() const noexcept {
    return now == phase::sent && !ended() && on->board->has_begun(slot, id);
}

void worker_call::tell_end() noexcept {
    drop_arguments();    // with the handle they could stay for long
    waiters.wake_all();  // who is told may let go of this call
    if (listener == nullptr) return;
    call_listener& told = *std::exchange(listener, nullptr);
    told.tell(told, *this);
}

void worker_call::drop_arguments() noexcept {
    parcel& arguments = what.arguments;
    arguments.descriptors.clear();
    arguments.references.clear();
    // A few bytes go with the record: freed in one go as answers come, they cost more than they
    // are.
    if (arguments.bytes.capacity() > few_bytes) arguments.bytes = {};
    shared.reset();
    held.clear();
}

std::exception_ptr worker_call::take_failure() {
    reports = false;
    switch (how) {
        case ending::thrown: {
            parcel_reader reader(answer);
            return revive(exception_record::unpack_from(reader));
        }
        case ending::failed: return failure;
        case ending::closed:
            return std::make_exception_ptr(closed_error("a call in a process_pool"));
        default: return std::make_exception_ptr(task_cancelled("a call in a process_pool"));
    }
}

parcel worker_call::take_answer() {
    reports = false;
    if (how != ending::value) [[unlikely]]
        std::rethrow_exception(take_failure());
    require(!std::exchange(taken, true), "the result of this call was already taken");
    return std::move(answer);
}

void worker_call::drop_ref() noexcept {
    if (--refs != 0) return;
    if (reports && (how == ending::thrown || how == ending::failed) && this_scheduler != nullptr) {
        try {
            this_scheduler->report(*this_scheduler, nullptr, take_failure(), false);
        } catch (...) {  // no memory to say it
        }
    }
    delete this;
}

void submit_call(process_pool_core& pool, worker_call& call) { pool.submit(call); }

bool cancel_call(worker_call& call) noexcept {
    if (call.ended() || call.now == worker_call::phase::fresh) return false;
    return call.pool->cancel(call);
}

// Waiting

const wait_kind run_wait::kind_of_wait{"a call in a process_pool", &run_wait::leave};

run_wait::run_wait(std::shared_ptr<process_pool_core> pool, packed_call&& what) noexcept
    : wait_point(kind_of_wait),
      call_listener(&run_wait::told),
      pool_(std::move(pool)),
      what_(std::move(what)) {}

run_wait::run_wait(run_wait&& other) noexcept
    : wait_point(static_cast<wait_point&&>(other)),
      call_listener(&run_wait::told),
      pool_(std::move(other.pool_)),
      what_(std::move(other.what_)) {}

run_wait::~run_wait() = default;

bool run_wait::begin() {
    call_ = call_ref(new worker_call(std::move(what_)));
    submit_call(*pool_, *call_);
    call_->listener = this;
    return !call_->ended();
}

void run_wait::told(call_listener& self, worker_call&) noexcept {
    static_cast<run_wait&>(self).wake();
}

void run_wait::leave(waiter& w) noexcept {
    auto& self = static_cast<run_wait&>(w);
    self.call_->listener = nullptr;
    (void)cancel_call(*self.call_);
    self.wake(wake_reason::cut);
}

parcel run_wait::finish() {
    throw_if_cut();
    return call_->take_answer();
}

const wait_kind call_wait::kind_of_wait{"a call that was submitted", &wait_queue::leave};

}  // namespace detail
}  // namespace lariat
