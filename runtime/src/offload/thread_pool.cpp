#include <lariat/offload/thread_pool.hpp>

#include <lariat/base/assert.hpp>

namespace lariat {

namespace {

thread_pool_options of_threads(std::size_t most) {
    thread_pool_options options;
    options.most_threads = most;
    return options;
}

}  // namespace

thread_pool::thread_pool(const thread_pool_options& options)
    : own_(std::make_unique<detail::blocking_pool>(options)), pool_(own_.get()) {}

thread_pool::thread_pool(std::size_t most_threads) : thread_pool(of_threads(most_threads)) {}

thread_pool::thread_pool(shared_tag) : pool_(&detail::blocking_pool::shared()) {}

thread_pool::~thread_pool() = default;

thread_pool& thread_pool::shared() {
    // Never destroyed, as what it stands for.
    static thread_pool* const only = new thread_pool(shared_tag());
    return *only;
}

void thread_pool::configure_shared(const thread_pool_options& options) {
    detail::blocking_pool::configure_shared(options);
}

void thread_pool::submit_and_block(detail::work_core& work) {
    struct submission {
        detail::work_core& work;
        detail::blocking_pool& pool;
    } what{work, *pool_};
    detail::block_thread(
        [](void* of, detail::work_listener& me) {
            auto& asked = *static_cast<submission*>(of);
            return !asked.work.submit_to(asked.pool, &me);
        },
        &what);
}

task<> thread_pool::shutdown(pool_shutdown how) {
    pool_->shut(how);
    future<> ended = pool_->when_ended();
    co_await ended;
}

void thread_pool::shutdown_blocking(pool_shutdown how) {
    pool_->shut(how);
    pool_->wait_ended();
}

}  // namespace lariat
