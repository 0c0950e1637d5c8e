// What runs in a pool's worker.

#include <lariat/base/error.hpp>
#include <lariat/loop/loop.hpp>
#include <lariat/process/remote_error.hpp>

#include "base/fork_guard.hpp"
#include "offload/uninterrupted.hpp"
#include "process/message_state.hpp"
#include "process/pool_wire.hpp"

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <exception>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include <unistd.h>

namespace lariat::detail {

namespace {

/// The calls of one worker.
///
/// Invariant    when a function is called no answer waits here: it is with the kernel; or on the
///              board, and the bell was rung, or was less than bell_pause ago: then the pool looks
///              by itself after look_after
class pool_server : private timer_entry, private runnable {
 public:
    explicit pool_server(worker_seed&& seed);
    pool_server(const pool_server&) = delete;
    pool_server& operator=(const pool_server&) = delete;

    [[nodiscard]] task<> serve();
    void answer(std::uint32_t slot, std::uint64_t id, answer_kind kind, parcel&& what) noexcept;

 private:
    struct plain_call {
        std::uint32_t slot;
        std::uint64_t id;
        const call_entry* entry;
        parcel arguments;
    };

    /// False when there is nothing more to do.
    [[nodiscard]] bool obey(parcel&& orders);
    [[nodiscard]] std::span<const std::byte> obey_one(const pool_order& order,
                                                      std::span<const std::byte> behind);
    void take_call(const pool_order& order, parcel&& arguments);
    void begin_task(const pool_order& order, parcel&& arguments);
    bool say_begun(std::uint32_t slot, std::uint64_t id, const parcel& arguments) noexcept;
    [[nodiscard]] static task<> run_task(pool_server& self, pool_order order, parcel arguments);
    void call_some() noexcept;
    void perform(plain_call& call) noexcept;
    void end_copy() const noexcept;
    void send_answer(answer_header head, parcel&& what) noexcept;
    void flush_overflow() noexcept;
    [[nodiscard]] bool send_now() noexcept;
    void ring() noexcept;
    void ring_later() noexcept;

    struct task_call {
        join_handle<> handle;
        bool cancelled = false;  ///< the pool has said so
    };
    struct ringer : runnable {
        pool_server* of = nullptr;
        bool scheduled = false;
    };

    fork_guard home_;
    message_stream stream_;
    unique_fd bell_;
    cell_ref board_ref_;
    pool_board& board_;
    packed_call initializer_;
    std::deque<plain_call> plain_;
    std::unordered_map<std::uint64_t, task_call> tasks_;
    ringer ringer_;
    time_point rung_ = no_wait;
    std::optional<pool_order> awaited_;  // its arguments are the next message
    parcel overflow_;                    // answers that the board had no room for
    bool unrung_ = false;
    bool by_message_ = false;  // an answer goes by the stream: it may not have left yet
    bool scheduled_ = false;
};

/// Of an initializer.
struct seed_sizes {
    image_pointer<call_entry> entry;
    std::uint64_t bytes = 0;
    std::uint64_t descriptors = 0;
    std::uint64_t references = 0;
};

parcel pack_exception(const std::exception_ptr& thrown) {
    parcel packed;
    parcel_writer to(packed);
    carry(thrown).pack_into(to);
    return packed;
}

pool_server::pool_server(worker_seed&& seed)
    : timer_entry([](timer_entry& self) noexcept { static_cast<pool_server&>(self).call_some(); }),
      stream_(std::move(seed.stream)),
      bell_(std::move(seed.bell)),
      board_ref_(std::move(seed.board)),
      board_(board_ref_.body<pool_board>()),
      initializer_(std::move(seed.initializer)) {
    runnable::run = [](runnable& self) noexcept { static_cast<pool_server&>(self).call_some(); };
    ringer_.of = this;
    ringer_.run = [](runnable& self) noexcept {
        auto& bell = static_cast<ringer&>(self);
        bell.scheduled = false;
        if (bell.of->unrung_) bell.of->ring();
    };
}

task<> pool_server::serve() {
    if (initializer_.entry != nullptr) {
        if (initializer_.entry->is_task) {
            auto begun = initializer_.entry->begin(std::move(initializer_.arguments));
            (void)co_await std::move(begun);
        } else {
            scheduler* const here = std::exchange(this_scheduler, nullptr);
            struct back {
                scheduler* to;
                ~back() { this_scheduler = to; }
            } const at_end{here};
            (void)initializer_.entry->run(std::move(initializer_.arguments));
        }
        end_copy();
    }
    board_.set_ready();
    ring();
    for (;;) {
        auto incoming = stream_.receive();
        std::optional<parcel> orders = co_await std::move(incoming);
        if (!orders) break;  // the pool has gone, and so do its daemons
        const bool go_on = obey(std::move(*orders));
        if (!go_on) break;
    }
    plain_.clear();
    if (timer_entry::armed()) this_scheduler->timers.disarm(*this);
}

bool pool_server::obey(parcel&& orders) {
    if (awaited_) {
        take_call(*std::exchange(awaited_, std::nullopt), std::move(orders));
    } else {
        std::span<const std::byte> left(orders.bytes);
        while (left.size() >= sizeof(pool_order)) {
            pool_order order;
            std::memcpy(&order, left.data(), sizeof order);
            left = left.subspan(sizeof order);
            if (order.what == pool_order::verb::stop) return false;
            left = obey_one(order, left);
        }
        if (!left.empty()) throw parcel_error("a part of an order");
    }
    if (!plain_.empty() && !scheduled_) {  // after the tasks that have come with them
        scheduled_ = true;
        this_scheduler->ready.push(*this);
    }
    return true;
}

/// Returns what is behind it.
std::span<const std::byte> pool_server::obey_one(const pool_order& order,
                                                 std::span<const std::byte> behind) {
    if (order.what == pool_order::verb::call) {
        if (order.bytes > behind.size()) throw parcel_error("a call without its arguments");
        parcel arguments;
        arguments.bytes.assign(behind.data(), behind.data() + order.bytes);
        take_call(order, std::move(arguments));
        return behind.subspan(order.bytes);
    }
    if (order.what == pool_order::verb::call_that_follows) {
        awaited_ = order;
    } else if (const auto found = tasks_.find(order.id); found != tasks_.end()) {
        found->second.cancelled = true;
        found->second.handle.cancel();
    }
    return behind;
}

void pool_server::take_call(const pool_order& order, parcel&& arguments) {
    const call_entry* const entry = order.entry.get();
    if (entry->is_task) return begin_task(order, std::move(arguments));
    plain_.push_back(plain_call{order.slot, order.id, entry, std::move(arguments)});
}

void pool_server::begin_task(const pool_order& order, parcel&& arguments) {
    tasks_[order.id].handle = spawn(run_task(*this, order, std::move(arguments)));
}

task<> pool_server::run_task(pool_server& self, pool_order order, parcel arguments) {
    // Not before its first step: while a function is called here, others may take it.
    bool ours = self.board_.begin(order.slot, order.id);
    if (ours) {
        parcel answer;
        auto kind = answer_kind::value;
        (void)self.say_begun(order.slot, order.id, arguments);
        try {
            auto begun = order.entry.get()->begin(std::move(arguments));
            answer = co_await std::move(begun);
        } catch (const cancelled&) {  // it ends here
            // Unless the pool asked for it this process ends, and that is what the pool is to hear.
            ours = self.tasks_[order.id].cancelled;
            kind = answer_kind::thrown;
            answer = pack_exception(std::current_exception());
        } catch (...) {
            kind = answer_kind::thrown;
            answer = pack_exception(std::current_exception());
        }
        self.end_copy();
        if (ours) self.answer(order.slot, order.id, kind, std::move(answer));
    } else {  // it was withdrawn: as above
        self.unrung_ = true;
        self.ring_later();
    }
    self.tasks_.erase(order.id);
}

/// The pool has the same descriptors, should this worker be lost before the call has begun. It can
/// close them now: so a pipe's end closes when the call closes it. True if there is something to
/// say.
bool pool_server::say_begun(std::uint32_t slot, std::uint64_t id,
                            const parcel& arguments) noexcept {
    if (arguments.descriptors.empty()) return false;
    answer(slot, id, answer_kind::begun, parcel());
    return true;
}

/// Calls functions for a while; then the loop looks after its tasks and the orders.
void pool_server::call_some() noexcept {
    const time_point begun = clock::now();
    time_point now = begun;
    while (!plain_.empty() && now - begun < bell_pause) {
        if (by_message_ && !send_now()) return this_scheduler->timers.arm(*this, now + bell_pause);
        if (unrung_ && now - rung_ >= bell_pause) ring();
        plain_call first = std::move(plain_.front());
        plain_.pop_front();
        if (!board_.begin(first.slot, first.id)) {  // it was withdrawn, maybe as this was late
            unrung_ = true;
            continue;
        }
        if (say_begun(first.slot, first.id, first.arguments)) {  // at once: it may take for ever
            if (by_message_) (void)send_now();
            ring();
        }
        perform(first);
        now = clock::now();
    }
    if (plain_.empty()) {
        scheduled_ = false;
        if (unrung_) ring();
    } else {
        // By a timer, not by the ready queue: in between, the kernel is asked.
        this_scheduler->timers.arm(*this, now);
    }
}

// As on a thread of its own: it may block, and run a loop.
void pool_server::perform(plain_call& call) noexcept {
    parcel result;
    auto kind = answer_kind::value;
    scheduler* const here = std::exchange(this_scheduler, nullptr);
    try {
        result = call.entry->run(std::move(call.arguments));
    } catch (...) {
        kind = answer_kind::thrown;
        result = pack_exception(std::current_exception());
    }
    end_copy();
    this_scheduler = here;
    call.arguments = parcel();
    answer(call.slot, call.id, kind, std::move(result));
}

// A function has forked this process by hand, and returned in the copy as well. That would answer
// in the worker's place, and take what the worker is asked next: the pool cannot tell them apart.
// Streams are not flushed: what they held at the fork is the worker's to write.
void pool_server::end_copy() const noexcept {
    if (home_.at_home()) return;
    constexpr std::string_view words =
        "lariat: a copy of a pool's worker, forked by hand in a function, ends where it returns "
        "from that function; the worker itself answers.\n"
        "  right: ::_exit() in the child\n";
    (void)uninterrupted([&] { return ::write(STDERR_FILENO, words.data(), words.size()); });
    ::_exit(EXIT_FAILURE);
}

void pool_server::answer(std::uint32_t slot, std::uint64_t id, answer_kind kind,
                         parcel&& what) noexcept {
    answer_header head;
    head.id = id;
    head.slot = slot;
    head.kind = kind;
    head.bytes = what.bytes.size();
    const bool small =
        what.descriptors.empty() && what.references.empty() && head.bytes <= pool_board::most_bytes;
    if (!small) return send_answer(head, std::move(what));
    unrung_ = true;
    ring_later();
    if (overflow_.bytes.empty() && board_.publish(head, what.bytes)) return;
    by_message_ = true;
    parcel_writer to(overflow_);  // what a turn's tasks answer goes together
    to.append(&head, sizeof head);
    to.append(what.bytes.data(), what.bytes.size());
}

void pool_server::send_answer(answer_header head, parcel&& what) noexcept {
    by_message_ = true;
    flush_overflow();
    if (what.descriptors.size() > most_frame_descriptors) {
        parcel refused = pack_exception(std::make_exception_ptr(
            limit_error("a result with " + std::to_string(what.descriptors.size()) +
                        " descriptors cannot be sent")));
        return answer(head.slot, head.id, answer_kind::thrown, std::move(refused));
    }
    head.where = answer_place::next;
    parcel before;
    parcel_writer to(before);
    to.append(&head, sizeof head);
    // Neither goes where the pool has gone.
    (void)stream_.push(std::move(before));
    (void)stream_.push(std::move(what));
}

void pool_server::flush_overflow() noexcept {
    if (overflow_.bytes.empty()) return;
    (void)stream_.push(std::exchange(overflow_, parcel()));
}

/// False if the pool does not take them yet.
bool pool_server::send_now() noexcept {
    flush_overflow();
    message_state& out = *stream_.state();
    out.flush();
    by_message_ = !out.out.empty();
    return !by_message_;
}

void pool_server::ring_later() noexcept {
    if (std::exchange(ringer_.scheduled, true)) return;
    this_scheduler->ready.push(ringer_);
}

void pool_server::ring() noexcept {
    unrung_ = false;
    rung_ = clock::now();
    flush_overflow();
    if (!board_.ring()) return;  // the pool was called and has not looked yet
    const std::uint64_t one = 1;
    (void)uninterrupted([&] { return ::write(bell_.get(), &one, sizeof one); });
}

/// Ctrl-C reaches the whole group of processes; here it interrupts a system call at most, and is
/// not inherited by what a call executes.
void leave_interrupts_to_the_pool() noexcept {
    struct sigaction nothing{};
    nothing.sa_handler = [](int) {};
    nothing.sa_flags = SA_RESTART;
    (void)::sigaction(SIGINT, &nothing, nullptr);
}

}  // namespace

void serve_pool(worker_seed seed) {
    leave_interrupts_to_the_pool();
    run_options options;
    options.handle_interrupt = false;
    options.spin = seed.spin;
    options.brief_spin = seed.brief_spin;
    // Never destroyed: were the stream closed before this process has ended, the pool would take it
    // for lost, and kill it.
    pool_server& server = *new pool_server(std::move(seed));
    run(options, server.serve());
}

void worker_seed::pack_into(parcel_writer& to) && {
    std::move(stream).pack_into(to);
    to.attach(std::move(bell));
    to.attach(board.share());
    to.append(&spin, sizeof spin);
    to.append(&brief_spin, sizeof brief_spin);
    parcel& arguments = initializer.arguments;
    const seed_sizes sizes{initializer.entry, arguments.bytes.size(), arguments.descriptors.size(),
                           arguments.references.size()};
    to.append(&sizes, sizeof sizes);
    to.append(arguments.bytes.data(), arguments.bytes.size());
    for (unique_fd& each : arguments.descriptors) to.attach(std::move(each));
    for (transit_ref& each : arguments.references) to.attach(std::move(each));
}

worker_seed worker_seed::unpack_from(parcel_reader& from) {
    worker_seed seed;
    seed.stream = message_stream::unpack_from(from);
    seed.bell = from.take_descriptor(typeid(worker_seed));
    seed.board = cell_ref::take(from.take_reference(typeid(worker_seed)), pool_board_kind);
    from.take(&seed.spin, sizeof seed.spin, typeid(worker_seed));
    from.take(&seed.brief_spin, sizeof seed.brief_spin, typeid(worker_seed));
    seed_sizes sizes;
    from.take(&sizes, sizeof sizes, typeid(worker_seed));
    seed.initializer.entry = sizes.entry.get();
    parcel& arguments = seed.initializer.arguments;
    arguments.bytes.resize(sizes.bytes);
    from.take(arguments.bytes.data(), sizes.bytes, typeid(worker_seed));
    for (std::uint64_t i = 0; i < sizes.descriptors; ++i)
        arguments.descriptors.push_back(from.take_descriptor(typeid(worker_seed)));
    for (std::uint64_t i = 0; i < sizes.references; ++i)
        arguments.references.push_back(from.take_reference(typeid(worker_seed)));
    return seed;
}

}  // namespace lariat::detail
