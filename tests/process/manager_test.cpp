#include <lariat/process/manager.hpp>

#include "manager_support.hpp"

#include <lariat/process/pipe.hpp>
#include <lariat/process/shm/value.hpp>

#include <algorithm>
#include <map>
#include <optional>
#include <string>

#include <unistd.h>

namespace lariat::test {

struct sold_out : std::runtime_error {
    using std::runtime_error::runtime_error;
};

class sells {
 public:
    explicit sells(std::string article) : article_(std::move(article)) {}

    [[nodiscard]] const std::string& article() const noexcept { return article_; }

 private:
    std::string article_;
};

/// A class of a user's.
class stall : public sells {
 public:
    stall(std::string article, int pieces) : sells(std::move(article)), pieces_(pieces) {}

    int sell(int count) {
        if (count > pieces_) throw sold_out("no more " + article());
        return pieces_ -= count;
    }
    [[nodiscard]] int pid() const noexcept { return ::getpid(); }
    task<int> sell_later(int count) {
        co_await yield_now();
        co_return sell(count);
    }
    task<> never() {
        ++waiting_;
        struct leaving {
            int& count;
            ~leaving() { --count; }
        } const at_end{waiting_};
        co_await lariat::sleep(std::chrono::hours(1));
    }
    [[nodiscard]] int waiting() const noexcept { return waiting_; }
    /// From within the manager, another of its objects.
    task<int> note(managed_list<int> into) {
        co_await into.push_back(pieces_);
        co_return pieces_;
    }

 private:
    int pieces_;
    int waiting_ = 0;
};

}  // namespace lariat::test

namespace {

using namespace lariat;
using namespace lariat::test;

using stock = managed_dict<std::string, int>;

TEST_CASE_FIXTURE(manager_check, "manager: a dict") {
    with_manager([](manager& m) -> task<> {
        auto dict = co_await m.make<stock>();
        co_await dict.set("pear", 3);
        co_await dict.set("plum", 4);
        std::optional<int> got = co_await dict.get("pear");
        CHECK(got == 3);
        got = co_await dict.get("fig");
        CHECK(!got);
        CHECK_THROWS_AS((void)co_await dict.at("fig"), std::out_of_range);
        int kept = co_await dict.set_default("pear", 9);
        CHECK(kept == 3);
        std::map<std::string, int> more;
        more["plum"] = 5;
        more["fig"] = 6;
        co_await dict.update(std::move(more));
        const std::map<std::string, int> all = co_await dict.items();
        CHECK(all == std::map<std::string, int>{{"fig", 6}, {"pear", 3}, {"plum", 5}});
        std::size_t size = co_await dict.size();
        CHECK(size == 3);
        bool was = co_await dict.erase("fig");
        CHECK(was);
        was = co_await dict.contains("fig");
        CHECK(!was);
        got = co_await dict.pop("plum");
        CHECK(got == 5);
        const std::vector<std::string> keys = co_await dict.keys();
        CHECK(keys == std::vector<std::string>{"pear"});
        co_await dict.clear();
        size = co_await dict.size();
        CHECK(size == 0);
    });
}

TEST_CASE_FIXTURE(manager_check, "manager: a list") {
    with_manager([](manager& m) -> task<> {
        std::vector<int> first{1, 2, 3};
        auto list = co_await m.make<managed_list<int>>(std::move(first));
        co_await list.push_back(4);
        co_await list.insert(0, 0);
        co_await list.set(1, 10);
        int item = co_await list.at(1);
        CHECK(item == 10);
        CHECK_THROWS_AS((void)co_await list.at(5), std::out_of_range);
        item = co_await list.erase(1);
        CHECK(item == 10);
        std::vector<int> all = co_await list.items();
        CHECK(all == std::vector<int>{0, 2, 3, 4});
        all = co_await list.items(1, 2);
        CHECK(all == std::vector<int>{2, 3});
        std::optional<int> end = co_await list.pop_back();
        CHECK(end == 4);
        end = co_await list.pop_front();
        CHECK(end == 0);
        co_await list.clear();
        end = co_await list.pop_back();
        CHECK(!end);
    });
}

TEST_CASE_FIXTURE(manager_check, "manager: a namespace keeps types apart") {
    with_manager([](manager& m) -> task<> {
        auto names = co_await m.make<managed_namespace>();
        co_await names.set<std::string>("greeting", "hello");
        co_await names.set<int>("year", 1912);
        const std::string greeting = co_await names.get<std::string>("greeting");
        CHECK(greeting == "hello");
        int year = co_await names.get<int>("year");
        CHECK(year == 1912);
        CHECK_THROWS_WITH_AS((void)co_await names.get<int>("greeting"),
                             doctest::Contains("not int"), std::invalid_argument);
        CHECK_THROWS_AS((void)co_await names.get<int>("month"), std::out_of_range);
        const std::vector<std::string> all = co_await names.names();
        CHECK(all == std::vector<std::string>{"greeting", "year"});
    });
}

TEST_CASE_FIXTURE(manager_check, "manager: a value") {
    with_manager([](manager& m) -> task<> {
        auto value = co_await m.make<managed_value<long>>(5);
        long before = co_await value.fetch_add(2);
        CHECK(before == 5);
        bool done = co_await value.compare_exchange(5, 1);
        CHECK(!done);
        done = co_await value.compare_exchange(7, 1);
        CHECK(done);
        before = co_await value.exchange(3);
        CHECK(before == 1);
        before = co_await value.get();
        CHECK(before == 3);
    });
}

TEST_CASE_FIXTURE(manager_check,
                  "manager: a class of the user's, its base, its tasks and its errors") {
    with_manager([](manager& m) -> task<> {
        auto pears = co_await m.make<proxy<stall>>("pears", 5);
        int left = co_await pears.call<&stall::sell>(2);
        CHECK(left == 3);
        left = co_await pears.call<&stall::sell_later>(1);
        CHECK(left == 2);
        const std::string article = co_await pears.call<&stall::article>();
        CHECK(article == "pears");
        const int pid = co_await pears.call<&stall::pid>();
        CHECK(pid == m.pid());
        for (const bool later : {false, true}) {
            std::string type;
            std::string text;
            try {
                if (later) {
                    (void)co_await pears.call<&stall::sell_later>(7);
                } else {
                    (void)co_await pears.call<&stall::sell>(7);
                }
            } catch (const remote_error& error) {
                type = error.type();
                text = error.text();
            }
            CHECK(type == "lariat::test::sold_out");
            CHECK(text == "no more pears");
        }
    });
}

TEST_CASE_FIXTURE(manager_check, "manager: objects have names") {
    with_manager([](manager& m) -> task<> {
        {
            auto dict = co_await m.make_named<stock>("stock");
            co_await dict.set("pear", 1);
        }
        auto again = co_await m.get<stock>("stock");
        std::optional<int> pears = co_await again.get("pear");
        CHECK(pears == 1);
        CHECK_THROWS_AS((void)co_await m.make_named<stock>("stock"), std::invalid_argument);
        CHECK_THROWS_AS((void)co_await m.get<stock>("shelf"), std::out_of_range);
        CHECK_THROWS_AS((void)co_await m.get<managed_list<int>>("stock"), std::invalid_argument);
        bool was = co_await m.forget("stock");
        CHECK(was);
        was = co_await m.forget("stock");
        CHECK(!was);
        CHECK_THROWS_AS((void)co_await m.get<stock>("stock"), std::out_of_range);
        pears = co_await again.get("pear");
        CHECK(pears == 1);
    });
}

task<> sell_all(manager m, stock dict, managed_queue<int> out, int number) {
    for (int i = 0; i < 20; ++i) co_await dict.set(std::to_string(number * 100 + i), i);
    auto list = co_await m.get<managed_list<int>>("list");
    co_await list.push_back(number);
    co_await out.put(number);
}

TEST_CASE_FIXTURE(manager_check, "manager: handles and proxies go to other processes") {
    with_manager([](manager& m) -> task<> {
        auto dict = co_await m.make<stock>();
        auto list = co_await m.make_named<managed_list<int>>("list");
        auto queue = co_await m.make<managed_queue<int>>();
        auto one = joined(process::start(sell_all, m, dict, queue, 1));
        auto two = joined(process::start(sell_all, m, dict, queue, 2));
        co_await gather(std::move(one), std::move(two));
        const std::size_t size = co_await dict.size();
        CHECK(size == 40);
        std::size_t count = co_await list.size();
        CHECK(count == 2);
        count = co_await queue.size();
        CHECK(count == 2);
    });
}

void keep_through_pipe(pipe_end<managed_value<int>> from, shm::event done) {
    std::optional<managed_value<int>> value = from.recv_blocking();
    run([](managed_value<int> mine) -> task<> { co_await mine.set(7); }(std::move(*value)));
    done.set();
}

TEST_CASE_FIXTURE(manager_check,
                  "manager: an object lives as long as a proxy, also one on its way") {
    with_manager([](manager& m) -> task<> {
        lariat::pipe<managed_value<int>> way(pipe_mode::one_way);
        const shm::event done;
        auto values = co_await m.make<managed_list<managed_value<int>>>();
        {
            auto value = co_await m.make<managed_value<int>>(1);
            co_await values.push_back(value);
            co_await way.second.send(value);
        }
        auto child = joined(process::start(keep_through_pipe, std::move(way.first), done));
        co_await std::move(child);
        auto back = co_await values.at(0);  // a proxy that lies in the manager itself
        const int seen = co_await back.get();
        CHECK(seen == 7);
    });
}

TEST_CASE_FIXTURE(manager_check, "manager: its objects use each other") {
    with_manager([](manager& m) -> task<> {
        auto list = co_await m.make<managed_list<int>>();
        auto pears = co_await m.make<proxy<stall>>("pears", 5);
        int noted = co_await pears.call<&stall::note>(list);
        CHECK(noted == 5);
        noted = co_await list.at(0);
        CHECK(noted == 5);
    });
}

TEST_CASE_FIXTURE(manager_check, "manager: shared memory and descriptors are arguments, too") {
    with_manager([](manager& m) -> task<> {
        auto values = co_await m.make<managed_dict<int, shm::value<int>>>();
        {
            shm::value<int> value(5);
            co_await values.set(1, value);
        }
        const shm::value<int> back = co_await values.at(1);
        CHECK(back.get() == 5);
        co_await values.clear();
    });
}

TEST_CASE_FIXTURE(manager_check, "manager: 64 operations at a time, over one connection") {
    with_manager([](manager& m) -> task<> {
        auto dict = co_await m.make<managed_dict<int, int>>();
        const std::size_t before = open_descriptors().size();
        auto one = [](managed_dict<int, int> into, int number) -> task<> {
            for (int i = 0; i < 50; ++i) {
                co_await into.set(number, i);
                const std::optional<int> got = co_await into.get(number);
                CHECK(got == i);
            }
        };
        std::vector<task<>> all;
        for (int i = 0; i < 64; ++i) all.push_back(one(dict, i));
        co_await gather(std::move(all));
        CHECK(open_descriptors().size() == before);
        const std::size_t size = co_await dict.size();
        CHECK(size == 64);
    });
}

TEST_CASE_FIXTURE(manager_check, "manager: a wait is in nobody's way") {
    with_manager([](manager& m) -> task<> {
        auto queue = co_await m.make<managed_queue<std::string>>(1);
        auto flag = co_await m.make<managed_event>();
        auto getting = [](managed_queue<std::string> from) -> task<std::string> {
            std::optional<std::string> item = co_await from.get();
            co_return item.value_or("nothing");
        };
        auto waiting = [](managed_event until) -> task<> { co_await until.wait(); };
        auto first = spawn(getting(queue));
        auto second = spawn(waiting(flag));
        for (int i = 0; i < 10; ++i) {
            const bool set = co_await flag.is_set();
            CHECK(!set);
        }
        CHECK(!first.done());
        CHECK(!second.done());
        co_await queue.put("pear");
        const std::string got = co_await first;
        CHECK(got == "pear");
        co_await flag.set();
        co_await second;
    });
}

TEST_CASE_FIXTURE(manager_check, "manager: what was cut short did not happen") {
    with_manager([](manager& m) -> task<> {
        auto queue = co_await m.make<managed_queue<int>>(1);
        CHECK_THROWS_AS(co_await timeout(2ms, queue.get()), timeout_error);
        co_await queue.put(1);
        CHECK_THROWS_AS(co_await timeout(2ms, queue.put(2)), timeout_error);
        std::optional<int> item = co_await queue.get();
        CHECK(item == 1);
        std::size_t size = co_await queue.size();
        CHECK(size == 0);
        auto pears = co_await m.make<proxy<stall>>("pears", 5);
        CHECK_THROWS_AS(co_await timeout(2ms, pears.call<&stall::never>()), timeout_error);
        const int waiting = co_await pears.call<&stall::waiting>();
        CHECK(waiting == 0);
    });
}

TEST_CASE_FIXTURE(manager_check, "manager: no item is lost between a get that is cut and a put") {
    with_manager([](manager& m) -> task<> {
        auto queue = co_await m.make<managed_queue<int>>();
        auto put_all = [](managed_queue<int> into) -> task<> {
            for (int i = 0; i < 200; ++i) co_await into.put(i);
            co_await into.close();
        };
        auto putting = spawn(put_all(queue));
        std::vector<int> got;
        bool more = true;
        for (int i = 0; more; ++i) {
            try {
                std::optional<int> item =
                    co_await timeout(std::chrono::microseconds(50 * (i % 7)), queue.get());
                if (item) got.push_back(*item);
                more = item.has_value();
            } catch (const timeout_error&) {
            }
        }
        co_await putting;
        CHECK(got.size() == 200);
        CHECK(std::is_sorted(got.begin(), got.end()));
    });
}

TEST_CASE_FIXTURE(manager_check, "manager: a queue's bounds, and its items done with") {
    with_manager([](manager& m) -> task<> {
        auto queue = co_await m.make<managed_queue<int>>(2);
        CHECK_THROWS_AS((void)co_await queue.get_nowait(), queue_empty);
        co_await queue.put_nowait(1);
        co_await queue.put_nowait(2);
        CHECK_THROWS_AS(co_await queue.put_nowait(3), queue_full);
        auto all_done = [](managed_queue<int> of) -> task<> { co_await of.join(); };
        auto joining = spawn(all_done(queue));
        int item = co_await queue.get_nowait();
        CHECK(item == 1);
        co_await queue.task_done();
        std::optional<int> next = co_await queue.get();
        CHECK(next == 2);
        CHECK(!joining.done());
        co_await queue.task_done();
        co_await joining;
        CHECK_THROWS_AS(co_await queue.task_done(), std::logic_error);
        co_await queue.close();
        CHECK_THROWS_AS(co_await queue.put(4), closed_error);
        next = co_await queue.get();
        CHECK(!next);
    });
}

TEST_CASE_FIXTURE(manager_check, "manager: locks among tasks") {
    with_manager([](manager& m) -> task<> {
        auto lock = co_await m.make<managed_mutex>();
        {
            auto held = co_await lock.lock();
            auto other = co_await lock.try_lock();
            CHECK(!other);
            CHECK_THROWS_AS((void)co_await timeout(2ms, lock.lock()), timeout_error);
        }
        auto held = co_await lock.try_lock();
        CHECK(held);
        held.unlock();
        bool locked = co_await lock.locked();
        CHECK(!locked);
        auto permits = co_await m.make<managed_semaphore>(2);
        {
            auto one = co_await permits.scoped_acquire();
            co_await permits.acquire();
            bool taken = co_await permits.try_acquire();
            CHECK(!taken);
        }
        co_await permits.release();
        const std::size_t free = co_await permits.available();
        CHECK(free == 2);
        auto place = co_await m.make<managed_barrier>(2);
        auto arrive = [](managed_barrier at) -> task<std::size_t> {
            const std::size_t index = co_await at.wait();
            co_return index;
        };
        auto both = co_await gather(arrive(place), arrive(place));
        CHECK(std::get<0>(both) + std::get<1>(both) == 1);
        CHECK_THROWS_AS((void)co_await m.make<managed_barrier>(0), std::invalid_argument);
    });
}

TEST_CASE_FIXTURE(manager_check, "manager: after its end, and on a second run") {
    std::optional<manager> kept;
    std::optional<stock> dict;
    kept.emplace(manager::start());
    run([](manager& m, std::optional<stock>& into) -> task<> {
        into = co_await m.make<stock>();
        co_await into->set("pear", 3);
    }(*kept, dict));
    run([](manager& m, stock& from) -> task<> {
        const std::optional<int> pears = co_await from.get("pear");
        CHECK(pears == 3);
        co_await m.shutdown();
        CHECK_THROWS_AS((void)co_await from.get("pear"), closed_error);
    }(*kept, *dict));
    dict.reset();
    kept.reset();
}

TEST_CASE_FIXTURE(manager_check, "manager: it goes with its last handle and proxy") {
    run([]() -> task<> {
        std::optional<stock> dict;
        int pid = 0;
        {
            manager m = manager::start();
            pid = m.pid();
            dict = co_await m.make<stock>();
        }
        co_await dict->set("pear", 3);
        dict.reset();
        CHECK(pid != 0);
    }());
}

}  // namespace
