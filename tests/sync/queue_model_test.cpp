// Random schedules of the three queues against a sequential model: nothing is lost, nothing comes
// twice, everybody is served in order.
#include "model.hpp"

#include <lariat/sync/lifo_queue.hpp>
#include <lariat/sync/priority_queue.hpp>
#include <lariat/sync/queue.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace lariat;
using namespace lariat::test;
using how = wait_ending::how;
using item = std::unique_ptr<int>;

constexpr int rank_of(int value) { return value % 4; }
struct by_rank {
    bool operator()(const item& a, const item& b) const { return rank_of(*a) < rank_of(*b); }
};

enum class next_is : std::uint8_t { oldest, newest, smallest };

class queue_model {
 public:
    queue_model(model_world& all, next_is which, std::size_t room)
        : w_(all), which_(which), room_(room) {}

    void put(int id, int value) {
        if (closed_) return w_.end(id, {how::closed});
        if (!getters_.empty()) {
            w_.end(getters_.front(), {how::fired, 0, value});
            getters_.pop_front();
        } else if (stored_.size() < room_) {
            stored_.push_back(value);
        } else {
            return putters_.push_back({id, value});
        }
        ++unfinished;
        w_.end(id, {how::fired});
    }
    void get(int id) {
        if (!stored_.empty()) return w_.end(id, {how::fired, 0, take()});
        if (closed_) return w_.end(id, {how::closed});
        getters_.push_back(id);
    }
    std::optional<int> try_get() {
        if (stored_.empty()) return std::nullopt;
        return take();
    }
    void cut(int id) {
        if (std::erase(getters_, id) +
                std::erase_if(putters_, [&](const putter& p) { return p.id == id; }) !=
            0)
            w_.end(id, {how::cut});
        if (std::erase(joiners_, id) != 0) w_.end(id, {how::cut});
    }
    void close() {
        closed_ = true;
        for (const int id : getters_) w_.end(id, {how::closed});
        for (const putter& p : putters_) w_.end(p.id, {how::closed});
        getters_.clear();
        putters_.clear();
    }
    void join(int id) {
        if (unfinished == 0) return w_.end(id, {how::fired});
        joiners_.push_back(id);
    }
    void task_done() {
        if (--unfinished != 0) return;
        for (const int id : joiners_) w_.end(id, {how::fired});
        joiners_.clear();
    }
    [[nodiscard]] std::size_t size() const { return stored_.size(); }
    [[nodiscard]] bool takes_now() const {
        return !closed_ && (!getters_.empty() || stored_.size() < room_);
    }

    int unfinished = 0;

 private:
    struct putter {
        int id;
        int value;
    };

    int take() {
        auto next = stored_.begin();
        if (which_ == next_is::newest) next = std::prev(stored_.end());
        if (which_ == next_is::smallest)
            next = std::min_element(stored_.begin(), stored_.end(),
                                    [](int a, int b) { return rank_of(a) < rank_of(b); });
        const int value = *next;
        stored_.erase(next);
        if (!putters_.empty()) {
            stored_.push_back(putters_.front().value);
            ++unfinished;
            w_.end(putters_.front().id, {how::fired});
            putters_.pop_front();
        }
        return value;
    }

    model_world& w_;
    next_is which_;
    std::size_t room_;
    bool closed_ = false;
    std::deque<int> stored_;
    std::deque<int> getters_;
    std::deque<putter> putters_;
    std::vector<int> joiners_;
};

template <class Queue>
struct pair_of {
    Queue real;
    queue_model model;
};

template <class Queue>
task<> get_one(model_world& w, model_actor& me, pair_of<Queue>& q) {
    const int id = me.id = ++w.last_id;
    cut_note note(w, id);
    q.model.get(id);
    const short_budget near_its_end(w);
    std::optional<item> got;
    wait_ending real{how::closed};
    try {
        if (w.random.chance(400)) {
            got = co_await timeout_at(note.arm(), q.real.get());
        } else {
            got = co_await q.real.get();
        }
        if (got) real = {how::fired, 0, **got};
    } catch (const timeout_error&) {
        real = {how::cut};
    } catch (const cancelled&) {
        w.check(id, {how::cut});
        throw;
    }
    w.check(id, real);
}

template <class Queue>
task<> put_one(model_world& w, model_actor& me, pair_of<Queue>& q) {
    const int id = me.id = ++w.last_id;
    const int value = ++w.last_item;
    cut_note note(w, id);
    q.model.put(id, value);
    const short_budget near_its_end(w);
    auto putting = q.real.put(std::make_unique<int>(value));
    wait_ending real{how::fired};
    try {
        if (w.random.chance(400)) {
            co_await timeout_at(note.arm(), putting);
        } else {
            const auto ended = co_await nothrow(putting);
            if (!ended) real = {how::closed};
        }
    } catch (const timeout_error&) {
        real = {how::cut};
    } catch (const closed_error&) {
        real = {how::closed};
    } catch (const cancelled&) {
        w.check(id, {how::cut});
        if (putting.item() == nullptr) w.broken("a put that was cancelled has put its item");
        throw;
    }
    if ((putting.item() == nullptr) != (real.what == how::fired))
        w.broken("an item is in two places, or in none");
    w.check(id, real);
}

template <class Queue>
task<> join_all(model_world& w, model_actor& me, pair_of<Queue>& q) {
    const int id = me.id = ++w.last_id;
    cut_note note(w, id);
    q.model.join(id);
    const short_budget near_its_end(w);
    wait_ending real{how::fired};
    try {
        co_await timeout_at(note.arm(), q.real.join());
    } catch (const timeout_error&) {
        real = {how::cut};
    } catch (const cancelled&) {
        w.check(id, {how::cut});
        throw;
    }
    w.check(id, real);
}

template <class Queue>
void without_waiting(model_world& w, pair_of<Queue>& q) {
    switch (w.random.below(3)) {
        case 0: {
            const bool fits = q.model.takes_now();
            const int value = ++w.last_item;
            if (fits) q.model.put(++w.last_id, value);
            if (q.real.try_put(std::make_unique<int>(value)) != fits) w.broken("try_put");
            break;
        }
        case 1: {
            const std::optional<int> said = q.model.try_get();
            const std::optional<item> real = q.real.try_get();
            if (said.has_value() != real.has_value() || (said && *said != **real))
                w.broken("try_get");
            break;
        }
        default:
            if (q.model.unfinished == 0) break;
            q.model.task_done();
            q.real.task_done();
    }
}

template <class Queue>
task<> act(model_world& w, model_actor& me, pair_of<Queue>& q) {
    for (std::size_t steps = 2 + w.random.below(8); steps > 0 && !me.cancelled; --steps) {
        const std::size_t what = w.random.below(16);
        if (what < 6) {
            co_await get_one(w, me, q);
        } else if (what < 12) {
            co_await put_one(w, me, q);
        } else if (what == 12) {
            co_await join_all(w, me, q);
        } else {
            without_waiting(w, q);
        }
        if (q.real.size() != q.model.size()) w.broken("the sizes differ");
        co_await pause(w);
    }
}

template <class Queue>
task<> play(model_world& w, next_is which) {
    const std::size_t max = w.random.below(4);
    pair_of<Queue> q{Queue(max), queue_model(w, which, max == 0 ? 1'000'000 : max)};
    w.cut = [&](int id) { q.model.cut(id); };
    const auto acts = [&](model_world& all, model_actor& me) { return act(all, me, q); };
    const auto finish = [&] {
        while (q.model.unfinished != 0 && w.random.chance(900)) {
            q.model.task_done();
            q.real.task_done();
        }
        q.model.close();
        q.real.close();
    };
    co_await run_actors(w, 2 + w.random.below(5), acts, finish);
    while (auto said = q.model.try_get()) {
        const std::optional<item> left = q.real.try_get();
        if (!left || **left != *said) w.broken("what is left differs");
    }
    if (!q.real.empty()) w.broken("something is left that the model does not know");
}

TEST_CASE("queue: random schedules agree with a sequential model") {
    CHECK(play_seeds(model_seeds(),
                     [](model_world& w) { return play<queue<item>>(w, next_is::oldest); }) == "");
}

TEST_CASE("lifo_queue: random schedules agree with a sequential model") {
    CHECK(play_seeds(model_seeds(), [](model_world& w) {
              return play<lifo_queue<item>>(w, next_is::newest);
          }) == "");
}

TEST_CASE("priority_queue: random schedules agree with a sequential model") {
    CHECK(play_seeds(model_seeds(), [](model_world& w) {
              return play<priority_queue<item, by_rank>>(w, next_is::smallest);
          }) == "");
}

}  // namespace
