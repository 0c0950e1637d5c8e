#include "cores/loop_thread_state.hpp"

#include <new>
#include <utility>
#include <vector>

#include <pthread.h>

namespace lariat::detail {

thread_list::thread_list() {
    static thread_list* only = nullptr;
    only = this;
    // In a forked child there are none of its parent's threads; what is known of them is left where
    // it is, as a std::thread that is not here can be neither joined nor destroyed.
    const int failed = ::pthread_atfork([] { only->mutex_.lock(); }, [] { only->mutex_.unlock(); },
                                        [] {
                                            only->left_running_.swap(only->all_);
                                            new (&only->all_) decltype(all_)();
                                            only->mutex_.unlock();
                                        });
    if (failed != 0) throw std::bad_alloc();
}

thread_list& thread_list::get() {
    static thread_list& only = *new thread_list;
    return only;
}

void thread_list::add(std::shared_ptr<loop_thread_state> made) {
    const std::lock_guard held(mutex_);
    all_.push_back(std::move(made));
}

void thread_list::remove(const loop_thread_state& joined) {
    const std::lock_guard held(mutex_);
    std::erase_if(all_, [&](const auto& each) { return each.get() == &joined; });
}

std::vector<std::shared_ptr<loop_thread_state>> thread_list::all() {
    const std::lock_guard held(mutex_);
    return all_;
}

void thread_list::reap() {
    for (const auto& each : all()) {
        if (!each->is_detached() || each->alive() || each->on_it()) continue;
        each->join_thread();
        remove(*each);
    }
}

void thread_list::at_exit() { get().join_detached(); }

void thread_list::join_detached() {
    using threads = std::vector<std::shared_ptr<loop_thread_state>>;
    const auto left = [this](bool daemons) {
        threads some = all();
        std::erase_if(some, [daemons](const auto& each) {
            return !each->is_detached() || each->on_it() || each->options.daemon != daemons;
        });
        return some;
    };
    // Again and again, as those that are awaited may detach others.
    for (threads some = left(false); !some.empty(); some = left(false)) {
        for (const auto& each : some) {
            (void)each->wait_ended(forever);
            each->join_thread();
            remove(*each);
        }
    }
    const threads daemons = left(true);
    const time_point told = clock::now();
    for (const auto& each : daemons) each->stop();
    for (const auto& each : daemons) {
        remove(*each);
        if (each->wait_ended(saturating_add(told, each->options.exit_grace))) {
            each->join_thread();
        } else {
            left_running_.push_back(each);
        }
    }
}

}  // namespace lariat::detail
