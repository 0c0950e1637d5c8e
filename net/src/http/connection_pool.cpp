#include "http/connection_pool.hpp"

#include <algorithm>

namespace lariat::http::detail {

namespace {

/// Looks whether a receive would have to wait, without waiting.
class look_ahead : public receive_awaiter {
 public:
    explicit look_ahead(receive_awaiter&& from) noexcept : receive_awaiter(std::move(from)) {}
    [[nodiscard]] bool has_something() noexcept { return !must_wait(); }
};

response_limits limits_of(const client_options& options) noexcept {
    response_limits limits;
    limits.head_bytes = options.max_head_bytes;
    limits.header_count = options.max_header_count;
    return limits;
}

}  // namespace

connection::connection(tcp_stream made, const response_limits& limits) noexcept
    : stream(std::move(made)), parser(limits) {}

bool connection::spoiled() noexcept {
    look_ahead next(stream.receive());
    return next.has_something();
}

lease::lease(lease&& other) noexcept
    : pool_(std::move(other.pool_)),
      at_(std::exchange(other.at_, nullptr)),
      held_(std::move(other.held_)) {}

lease& lease::operator=(lease&& other) noexcept {
    if (this != &other) {
        give_back(nullptr);
        pool_ = std::move(other.pool_);
        at_ = std::exchange(other.at_, nullptr);
        held_ = std::move(other.held_);
    }
    return *this;
}

void lease::adopt(tcp_stream made) {
    held_ = std::make_unique<connection>(std::move(made), pool_->limits_);
    held_->home = at_;
    ++pool_->counts_.opened;
}

void lease::give_back(std::unique_ptr<connection> kept) noexcept {
    held_.reset();
    if (at_ == nullptr) return;
    const std::shared_ptr<connection_pool> pool = std::move(pool_);
    pool->put_back(*std::exchange(at_, nullptr), std::move(kept));
}

connection_pool::connection_pool(const client_options& options)
    : timer_entry(&connection_pool::due),
      most_per_host_(std::max<std::size_t>(options.max_connections_per_host, 1)),
      most_idle_(options.max_idle_connections),
      keep_alive_(options.keep_alive),
      limits_(limits_of(options)) {}

connection_pool::~connection_pool() { close(); }

void connection_pool::close() noexcept {
    closed_ = true;
    while (!ages_.empty()) drop_idle(static_cast<connection&>(ages_.front()));
    if (timer_entry::armed()) clock_->timers.disarm(*this);
}

connection_pool::acquire_awaiter connection_pool::acquire(std::string host) {
    return acquire_awaiter(shared_from_this(), std::move(host));
}

bool connection_pool::begin(acquire_awaiter& asker) {
    const auto found = hosts_.try_emplace(asker.host_);
    host_slots& at = found.first->second;
    at.name = &found.first->first;
    while (!asker.granted_.held_ && !at.idle.empty()) {
        std::unique_ptr<connection> kept = take_idle(static_cast<connection&>(at.idle.back()));
        const bool usable = !kept->spoiled();
        counts_.reused += usable ? 1 : 0;
        counts_.open -= usable ? 0 : 1;
        at.open -= usable ? 0 : 1;
        if (usable) asker.granted_.held_ = std::move(kept);
    }
    if (!asker.granted_.held_) {
        if (at.open >= most_per_host_) {
            at.line.add(asker);
            ++counts_.waiting;
            return true;
        }
        ++at.open;
        ++counts_.open;
    }
    asker.granted_.pool_ = std::move(asker.pool_);
    asker.granted_.at_ = &at;
    return false;
}

/// A lease has ended; what it leaves goes to the first in line, else it is kept or forgotten.
void connection_pool::put_back(host_slots& at, std::unique_ptr<connection> kept) noexcept {
    // A response may end where no loop runs, after run() for instance. One whose body was read late
    // may leave a connection that has spoken or closed meanwhile: the next request must not see it.
    if (closed_ || this_scheduler == nullptr || (kept && kept->spoiled())) kept.reset();
    if (!at.line.empty()) {
        auto& first = static_cast<acquire_awaiter&>(at.line.front());
        if (kept) ++counts_.reused;
        first.granted_.held_ = std::move(kept);
        first.granted_.pool_ = std::move(first.pool_);
        first.granted_.at_ = &at;
        --counts_.waiting;
        at.line.wake_one();
    } else if (kept && most_idle_ != 0) {
        keep(at, std::move(kept));
    } else {
        kept.reset();
        free_slot(at);
    }
}

void connection_pool::keep(host_slots& at, std::unique_ptr<connection> kept) noexcept {
    connection& idle = *kept.release();
    scheduler& here = lariat::detail::required_scheduler("an HTTP client");
    idle.idle_until = saturating_add(here.now(), keep_alive_);
    at.idle.push_back(idle);
    ages_.push_back(idle);
    if (++counts_.idle > most_idle_) drop_idle(static_cast<connection&>(ages_.front()));
    watch_age();
}

std::unique_ptr<connection> connection_pool::take_idle(connection& idle) noexcept {
    idle.age_link::unlink();
    idle.host_link::unlink();
    --counts_.idle;
    return std::unique_ptr<connection>(&idle);
}

void connection_pool::drop_idle(connection& idle) noexcept {
    host_slots& at = *idle.home;
    const std::unique_ptr<connection> owner = take_idle(idle);
    free_slot(at);
}

void connection_pool::free_slot(host_slots& at) noexcept {
    --counts_.open;
    if (--at.open == 0) hosts_.erase(hosts_.find(*at.name));
}

/// One timer for all: they are kept equally long, so the front is the first to go. When the front
/// has left it rings too early, and looks again.
void connection_pool::watch_age() noexcept {
    scheduler& here = lariat::detail::required_scheduler("an HTTP client");
    if (timer_entry::armed() && clock_ == &here) return;
    if (timer_entry::armed()) clock_->timers.disarm(*this);
    clock_ = &here;
    const time_point first = static_cast<connection&>(ages_.front()).idle_until;
    if (first != forever) here.timers.arm(*this, first);
}

void connection_pool::due(timer_entry& self) noexcept {
    auto& pool = static_cast<connection_pool&>(self);
    const time_point now = pool.clock_->now();
    while (!pool.ages_.empty()) {
        auto& oldest = static_cast<connection&>(pool.ages_.front());
        if (oldest.idle_until > now) return pool.watch_age();
        pool.drop_idle(oldest);
    }
}

const wait_kind connection_pool::acquire_awaiter::kind_of_wait{"an HTTP connection to become free",
                                                               &acquire_awaiter::leave};

void connection_pool::acquire_awaiter::leave(waiter& w) noexcept {
    auto& self = static_cast<acquire_awaiter&>(w);
    --self.pool_->counts_.waiting;
    wait_queue::leave(w);
}

}  // namespace lariat::http::detail
