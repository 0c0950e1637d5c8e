// A core has a thread, a loop and its own share of the data, so nothing is locked: words go to the
// core that their hash names, and a question to all is answered by folding what each one says.
//
// run: map_reduce
#include <lariat/lariat.hpp>

#include <cstdio>
#include <functional>
#include <map>
#include <ranges>
#include <sstream>
#include <string>

const char* const rhyme =
    "how much wood would a woodchuck chuck if a woodchuck could chuck wood "
    "a woodchuck would chuck as much wood as a woodchuck could if a woodchuck could chuck wood";

/// One of these on each core, and only that core touches it.
class word_counts {
 public:
    void add(const std::string& word) { ++counts_[word]; }
    [[nodiscard]] int of(const std::string& word) const {
        const auto found = counts_.find(word);
        return found == counts_.end() ? 0 : found->second;
    }
    [[nodiscard]] std::size_t different() const { return counts_.size(); }

 private:
    std::map<std::string, int> counts_;
};

lariat::task<> count_words(lariat::cores& all) {
    lariat::sharded<word_counts> counts(all);
    co_await counts.start();
    const auto home = [&](const std::string& word) {
        return std::hash<std::string>()(word) % all.core_count();
    };
    std::istringstream text(rhyme);
    for (std::string word; text >> word;) {
        co_await counts.invoke_on(home(word), &word_counts::add, word);
    }
    const std::string wood = "wood";
    const int times = co_await counts.invoke_on(home(wood), &word_counts::of, wood);
    const std::size_t different =
        co_await counts.map_reduce(&word_counts::different, std::size_t(0), std::plus<>());
    std::printf("%zu different words, \"wood\" %d times\n", different, times);
    co_await counts.stop();
}

bool is_prime(long n) {
    for (long i = 2; i * i <= n; ++i)
        if (n % i == 0) return false;
    return n >= 2;
}

lariat::task<> main_task(lariat::cores& all) {
    co_await count_words(all);
    const auto numbers = std::views::iota(0L, 100'000L);
    const long primes = co_await all.map_reduce(numbers, is_prime, 0L, std::plus<>());
    std::printf("%ld primes below 100000, counted by all cores\n", primes);
}

int main() {
    lariat::cores_options options;
    options.count = 2;
    lariat::run(lariat::with_cores(options, main_task));
}
