// Random schedules of channels, an event and selects over them against a sequential model: exactly
// one arm fires, and the other arms' objects are as if they had never been asked.
#include "model.hpp"

#include <lariat/sync/channel.hpp>
#include <lariat/sync/event.hpp>
#include <lariat/sync/select.hpp>
#include <lariat/task/timeout.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace {

using namespace lariat;
using namespace lariat::test;
using how = wait_ending::how;
using item = std::unique_ptr<int>;

constexpr std::size_t channels = 3;
constexpr std::size_t flag_line = channels;  // the event's number among the objects

/// What one arm wants: to receive from a channel, to send an item there, or to see the event set.
struct want {
    std::size_t object;
    int item = 0;  ///< to send; 0: to receive

    [[nodiscard]] bool sends() const { return item != 0; }
};

class select_model {
 public:
    select_model(model_world& all, const std::array<std::size_t, channels>& rooms) : w_(all) {
        for (std::size_t i = 0; i < channels; ++i) ways_[i].room = rooms[i];
    }

    [[nodiscard]] bool ready(const want& arm) const {
        if (arm.object == flag_line) return flag_;
        const way& at = ways_[arm.object];
        if (at.closed) return true;
        if (arm.sends()) return !at.receivers.empty() || at.stored.size() < at.room;
        return !at.stored.empty() || !at.senders.empty();
    }
    /// Pre: ready. What the arm gives, done to the objects.
    wait_ending fire(std::size_t index, const want& arm) {
        if (arm.object == flag_line) return {how::fired, index};
        way& at = ways_[arm.object];
        if (arm.sends()) return send(index, at, arm.item);
        if (at.stored.empty() && at.senders.empty()) return {how::closed, index};
        if (!at.stored.empty()) {
            const int got = at.stored.front();
            at.stored.pop_front();
            if (!at.senders.empty()) {
                at.stored.push_back(at.senders.front().item);
                grant(at.senders.front(), 0);
            }
            return {how::fired, index, got};
        }
        const int got = at.senders.front().item;
        grant(at.senders.front(), 0);
        return {how::fired, index, got};
    }
    void wait(int id, const std::vector<want>& arms) {
        for (std::size_t i = 0; i < arms.size(); ++i) {
            const place in_line{id, i, arms[i].item};
            if (arms[i].object == flag_line) {
                flag_waiters_.push_back(in_line);
            } else if (arms[i].sends()) {
                ways_[arms[i].object].senders.push_back(in_line);
            } else {
                ways_[arms[i].object].receivers.push_back(in_line);
            }
        }
        waiting_.push_back(id);
    }
    void cut(int id) { leave(id, {how::cut}); }
    /// A time arm's moment has come.
    void time(int id, std::size_t index) { leave(id, {how::fired, index}); }
    void set() {
        flag_ = true;
        while (!flag_waiters_.empty()) grant(flag_waiters_.front(), 0);
    }
    void clear() { flag_ = false; }
    void close(std::size_t which) {
        way& at = ways_[which];
        at.closed = true;
        while (!at.receivers.empty()) refuse(at.receivers.front());
        while (!at.senders.empty()) refuse(at.senders.front());
    }
    [[nodiscard]] std::size_t size(std::size_t which) const { return ways_[which].stored.size(); }

 private:
    struct place {
        int id;
        std::size_t index;
        int item;
    };
    struct way {
        std::size_t room = 0;
        bool closed = false;
        std::deque<int> stored;
        std::deque<place> receivers;
        std::deque<place> senders;
    };

    wait_ending send(std::size_t index, way& at, int value) {
        if (at.closed) return {how::closed};  // an error: it does not say which arm
        if (!at.receivers.empty()) {
            grant(at.receivers.front(), value);
        } else {
            at.stored.push_back(value);
        }
        return {how::fired, index};
    }
    void grant(place who, int value) { leave(who.id, {how::fired, who.index, value}); }
    void refuse(place who) { leave(who.id, {how::closed, who.item != 0 ? 0 : who.index}); }
    void leave(int id, wait_ending as) {
        if (std::erase(waiting_, id) == 0) return;
        const auto its = [&](const place& p) { return p.id == id; };
        for (way& at : ways_) {
            std::erase_if(at.receivers, its);
            std::erase_if(at.senders, its);
        }
        std::erase_if(flag_waiters_, its);
        w_.end(id, as);
    }

    model_world& w_;
    std::array<way, channels> ways_;
    bool flag_ = false;
    std::deque<place> flag_waiters_;
    std::vector<int> waiting_;
};

struct both {
    std::array<channel<item>, channels>& ways;
    event& flag;
    select_model& model;
};

wait_ending ended(std::size_t index, const std::optional<item>& got) {
    if (!got) return {how::closed, index};
    return {how::fired, index, **got};
}
wait_ending ended(std::size_t index, std::monostate) { return {how::fired, index}; }

template <class T>
wait_ending ended(const select_result<T>& real) {
    if constexpr (requires { real.value.index(); }) {
        return std::visit([&](const auto& value) { return ended(real.index, value); }, real.value);
    } else {
        return ended(real.index, real.value);
    }
}

/// One wait: the model is told what is wanted, the real one is awaited, the endings compared.
template <class Verb>
task<> compare(model_world& w, model_actor& me, both& b, std::vector<want> wants, Verb verb) {
    const int id = me.id = ++w.last_id;
    cut_note note(w, id);
    bool ready = false;
    for (const want& arm : wants) ready |= b.model.ready(arm);
    if (!ready) b.model.wait(id, wants);
    wait_ending real{how::closed};
    try {
        if (w.random.chance(300)) {
            const auto got = co_await timeout_at(note.arm(), std::move(verb));
            real = ended(got);
        } else {
            const auto got = co_await std::move(verb);
            real = ended(got);
        }
    } catch (const timeout_error&) {
        real = {how::cut};
    } catch (const closed_error&) {
        if (ready) {  // some send arm was asked, on a channel that is closed
            bool could = false;
            for (const want& arm : wants) could |= arm.sends() && b.model.ready(arm);
            if (!could) w.broken("closed, and no arm could be");
            co_return;
        }
    } catch (const cancelled&) {
        w.check(id, {how::cut});
        throw;
    }
    if (!ready) {
        w.check(id, real);
    } else if (real.what == how::cut || !b.model.ready(wants[real.index])) {
        w.broken("an arm fired that could not: " + real.text());
    } else {
        const wait_ending said = b.model.fire(real.index, wants[real.index]);
        if (said != real) w.broken("fired " + real.text() + "; the model says " + said.text());
    }
}

/// A time arm beside a channel's: the model hears of it from the note, armed for the same moment.
struct time_note : cut_note {
    time_note(model_world& all, int which, select_model& its_model)
        : cut_note(all, which), model(its_model) {
        fire = &time_note::due;
    }
    static void due(timer_entry& self) noexcept {
        const auto& note = static_cast<time_note&>(self);
        note.model.time(note.id, 1);
    }
    select_model& model;
};

task<> receive_in_time(model_world& w, model_actor& me, both& b) {
    const want arm{w.random.below(channels)};
    const bool ready = b.model.ready(arm);
    const int id = me.id = ++w.last_id;
    time_note note(w, id, b.model);
    const time_point moment = note.arm();
    if (!ready) b.model.wait(id, {arm});
    try {
        const auto got = co_await select(b.ways[arm.object].receive(), at(moment));
        const wait_ending real = ended(got);
        if (!ready) {
            w.check(id, real);
        } else if (b.model.fire(0, arm) != real) {
            w.broken("an arm that was ready did not fire as it should: " + real.text());
        }
    } catch (const cancelled&) {
        w.check(id, {how::cut});
        throw;
    }
}

want receives(model_world& w) { return {w.random.below(channels)}; }
want sends(model_world& w) { return {w.random.below(channels), ++w.last_item}; }

task<> one_wait(model_world& w, model_actor& me, both& b) {
    const want in = receives(w);
    const want in2 = receives(w);
    const want out = sends(w);
    const want out2 = sends(w);
    const auto receive = [&](const want& arm) { return b.ways[arm.object].receive(); };
    const auto send = [&](const want& arm) {
        return b.ways[arm.object].send(std::make_unique<int>(arm.item));
    };
    switch (w.random.below(8)) {
        case 0: return compare(w, me, b, {in}, select(receive(in)));
        case 1: return compare(w, me, b, {out}, select(send(out)));
        case 2: return compare(w, me, b, {in, in2}, select(receive(in), receive(in2)));
        case 3: return compare(w, me, b, {in, out}, select(receive(in), send(out)));
        case 4: return compare(w, me, b, {out, out2}, select(send(out), send(out2)));
        case 5: {
            const want flag{flag_line};
            return compare(w, me, b, {out, flag, in},
                           select(send(out), b.flag.wait(), receive(in)));
        }
        case 6: {
            std::vector<channel<item>::receive_wait> arms;
            for (channel<item>& each : b.ways) arms.push_back(each.receive());
            return compare(w, me, b, {{0}, {1}, {2}}, select(std::move(arms)));
        }
        default: return receive_in_time(w, me, b);
    }
}

/// A wait that is no select: it stands in the same lines.
task<> plain_wait(model_world& w, model_actor& me, both& b) {
    const want arm = w.random.coin() ? receives(w) : sends(w);
    const bool ready = b.model.ready(arm);
    const int id = me.id = ++w.last_id;
    if (ready) {
        w.end(id, b.model.fire(0, arm));
    } else {
        b.model.wait(id, {arm});
    }
    wait_ending real{how::closed};
    try {
        if (arm.sends()) {
            co_await b.ways[arm.object].send(std::make_unique<int>(arm.item));
            real = {how::fired};
        } else {
            const auto got = co_await b.ways[arm.object].receive();
            real = ended(0, got);
        }
    } catch (const closed_error&) {
        real = {how::closed};
    } catch (const cancelled&) {
        w.check(id, {how::cut});
        throw;
    }
    w.check(id, real);
}

task<> act(model_world& w, model_actor& me, both& b) {
    for (std::size_t steps = 2 + w.random.below(8); steps > 0 && !me.cancelled; --steps) {
        const std::size_t what = w.random.below(16);
        if (what < 8) {
            co_await one_wait(w, me, b);
        } else if (what < 14) {
            co_await plain_wait(w, me, b);
        } else if (what == 14) {
            b.model.set();
            b.flag.set();
        } else {
            b.model.clear();
            b.flag.clear();
        }
        for (std::size_t i = 0; i < channels; ++i) {
            if (b.ways[i].size() != b.model.size(i)) w.broken("the sizes differ");
        }
        co_await pause(w);
    }
}

task<> play(model_world& w) {
    std::array<std::size_t, channels> rooms{};
    for (std::size_t& room : rooms) room = w.random.below(3);
    std::array ways{channel<item>(rooms[0]), channel<item>(rooms[1]), channel<item>(rooms[2])};
    event flag;
    select_model model(w, rooms);
    both b{ways, flag, model};
    w.cut = [&](int id) { model.cut(id); };
    const auto acts = [&](model_world& all, model_actor& me) { return act(all, me, b); };
    const auto finish = [&] {
        for (std::size_t i = 0; i < channels; ++i) {
            model.close(i);
            ways[i].close();
        }
    };
    co_await run_actors(w, 2 + w.random.below(5), acts, finish);
    for (std::size_t i = 0; i < channels; ++i) {
        while (model.ready({i}) && model.size(i) != 0) {
            const wait_ending said = model.fire(0, {i});
            const std::optional<item> left = ways[i].try_receive();
            if (said != ended(0, left)) w.broken("what is left differs");
        }
        if (ways[i].try_receive()) w.broken("something is left that the model does not know");
    }
}

TEST_CASE("select: random schedules of channels and selects agree with a sequential model") {
    CHECK(play_seeds(model_seeds(), play) == "");
}

}  // namespace
