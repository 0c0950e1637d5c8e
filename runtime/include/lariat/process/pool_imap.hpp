#pragma once

#include <lariat/process/pool_map.hpp>
#include <lariat/task/async_generator.hpp>

#include <cstddef>
#include <exception>
#include <memory>
#include <ranges>
#include <utility>

namespace lariat::detail {

enum class line_order : bool { as_submitted, as_ended };

/// Calls whose results are taken one after the other.
class LARIAT_EXPORT call_line : private call_listener {
 public:
    call_line(std::shared_ptr<process_pool_core> pool, line_order order,
              const map_options& options) noexcept;
    call_line(const call_line&) = delete;
    call_line& operator=(const call_line&) = delete;
    /// Takes back what is under way.
    ~call_line();

    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
    [[nodiscard]] bool has_room() const noexcept;
    /// Errors: submit_call's.
    void submit(packed_call&& what);

    /// Suspends until the next result is there · Returns it · Errors: the call's · Cancel: nothing
    /// was taken. Pre: not empty.
    class LARIAT_EXPORT next_wait : public wait_point, public single_step {
     public:
        explicit next_wait(call_line& line) noexcept : wait_point(kind_of_wait), line_(&line) {}

        template <class Promise>
        bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
            party& p = party_of(frame);
            if (line_->ready()) return pass(p, frame);
            line_->consumer_ = this;
            park(p, frame);
            return true;
        }
        parcel await_resume() {
            throw_if_cut();
            return line_->take();
        }

     private:
        static void leave(waiter& w) noexcept;
        static const wait_kind kind_of_wait;
        call_line* line_;
    };
    [[nodiscard]] next_wait next() noexcept { return next_wait(*this); }

 private:
    [[nodiscard]] bool ready() noexcept;
    [[nodiscard]] parcel take();
    static void told(call_listener& self, worker_call& call) noexcept;

    std::shared_ptr<process_pool_core> pool_;
    line_order order_;
    std::size_t most_;   // calls ahead
    std::size_t least_;  // whatever their size
    std::size_t size_ = 0;
    std::size_t bytes_ = 0;   // of their arguments
    list<group_link> calls_;  // in the order of submission
    list<group_link> ended_;  // as_ended: those, in that order
    waiter* consumer_ = nullptr;
};

/// Keeps the progress of an imap, if anybody asked for it.
class line_progress {
 public:
    explicit line_progress(map_progress* of) noexcept : of_(of) {
        if (of_ != nullptr) of_->begin_unknown();
    }
    void begin_with(std::size_t items) noexcept {
        if (of_ != nullptr) of_->begin(items);
    }
    void has_read(std::size_t items) noexcept {
        if (of_ != nullptr) of_->read(items);
    }
    void has_read_all() noexcept {
        if (of_ != nullptr) of_->read_all();
    }
    void has_given_one() noexcept {
        if (of_ != nullptr) of_->add(1);
    }

 private:
    map_progress* of_;
};

template <class Fn, bool Moves, class View>
async_generator<typename call_signature<Fn>::result> generate_results(
    std::shared_ptr<process_pool_core> pool, Fn fn, View items, line_order order,
    map_options options) {
    using result = typename call_signature<Fn>::result;
    call_line line(std::move(pool), order, options);
    line_progress progress(options.progress);
    if constexpr (std::ranges::sized_range<View>)
        progress.begin_with(static_cast<std::size_t>(std::ranges::size(items)));
    auto at = std::ranges::begin(items);
    const auto end = std::ranges::end(items);
    const std::size_t chunk = std::max<std::size_t>(options.chunk, 1);
    bool more = true;
    std::exception_ptr refused;  // why there are no more: thrown where their results would come
    for (;;) {
        while (more && line.has_room()) {
            try {
                if (at == end) {
                    progress.has_read_all();
                    more = false;
                    break;
                }
                std::size_t count = chunk;
                line.submit(pack_chunk<Fn, item_kind::argument, Moves>(fn, at, end, count));
                progress.has_read(count);
            } catch (...) {
                refused = std::current_exception();
                more = false;
            }
        }
        if (line.empty()) break;
        call_line::next_wait wait = line.next();
        parcel answer = co_await std::move(wait);
        parcel_reader reader(answer);
        for (auto left = read_value<std::uint64_t>(reader); left != 0; --left) {
            result each = read_value<result>(reader);
            progress.has_given_one();
            co_yield std::move(each);
        }
    }
    if (refused) std::rethrow_exception(refused);
}

}  // namespace lariat::detail
