// A manager holds what many processes share: here a stock of fruit and the list of what was sold.
// Its objects' methods are called from anywhere; one that is a task waits there and keeps nobody.
//
// run: shared_stock
#include <lariat/lariat.hpp>
#include <lariat/process/manager.hpp>
#include <lariat/process/process.hpp>

#include <cstdio>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>

// Lives in the manager alone.
class stall {
 public:
    void deliver(std::string fruit, int pieces) {
        pieces_[std::move(fruit)] += pieces;
        delivered_.set();
        delivered_.clear();
    }
    lariat::task<int> buy(std::string fruit, int wanted) {
        while (pieces_[fruit] < wanted) co_await delivered_.wait();
        co_return pieces_[fruit] -= wanted;
    }
    int count(const std::string& fruit) {
        if (!pieces_.contains(fruit)) throw std::out_of_range("no such fruit: " + fruit);
        return pieces_[fruit];
    }

 private:
    std::map<std::string, int> pieces_;
    lariat::event delivered_;
};

using sales = lariat::managed_dict<std::string, int>;

// In processes of their own.
lariat::task<> customer(lariat::proxy<stall> from, sales sold, std::string name, int wanted) {
    std::string fruit = "pears";
    (void)co_await from.call<&stall::buy>(std::move(fruit), wanted);
    co_await sold.set(std::move(name), wanted);
}

lariat::task<> main_task() {
    lariat::manager shop = lariat::manager::start();
    auto fruit = co_await shop.make<lariat::proxy<stall>>();
    auto sold = co_await shop.make<sales>();
    auto anna = lariat::process::start(customer, fruit, sold, "Anna", 3);
    auto ben = lariat::process::start(customer, fruit, sold, "Ben", 4);
    for (int i = 0; i < 4; ++i) co_await fruit.call<&stall::deliver>("pears", 2);
    (void)co_await anna.join();
    (void)co_await ben.join();
    const std::map<std::string, int> all = co_await sold.items();
    for (const auto& [name, pieces] : all) std::printf("%s has bought %d\n", name.c_str(), pieces);
    const int left = co_await fruit.call<&stall::count>("pears");
    std::printf("%d left\n", left);
    try {
        (void)co_await fruit.call<&stall::count>("figs");
    } catch (const std::out_of_range& error) {
        std::printf("the manager says: %s\n", error.what());
    }
    co_await shop.shutdown();
}

int main() { lariat::run(main_task()); }
