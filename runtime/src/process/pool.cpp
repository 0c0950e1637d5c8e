#include <lariat/process/pool.hpp>

#include "process/pool_core.hpp"

#include <utility>

namespace lariat {

namespace {

task<> end_pool(std::shared_ptr<detail::process_pool_core> core, bool closes) {
    if (closes) core->close();
    detail::require(core->closing(), "a process_pool is joined once it is closed or terminated");
    auto ending = core->wait_ended();
    co_await std::move(ending);
}

}  // namespace

process_pool::process_pool(const process_pool_options& options)
    : core_(std::make_shared<detail::process_pool_core>(options)) {
    core_->start();
}

process_pool::~process_pool() { core_->terminate(); }

detail::call_ref process_pool::submit_packed(detail::packed_call&& what) {
    detail::call_ref call(new detail::worker_call(std::move(what)));
    call->reports = true;
    detail::submit_call(*core_, *call);
    return call;
}

task<> process_pool::close() { return end_pool(core_, true); }

void process_pool::terminate() noexcept { core_->terminate(); }

task<> process_pool::join() { return end_pool(core_, false); }

process_pool_stats process_pool::stats() const noexcept { return core_->stats(); }

}  // namespace lariat
