#pragma once

#include <lariat/offload/pool_map.hpp>
#include <lariat/process/pool_call.hpp>
#include <lariat/process/pool_options.hpp>
#include <lariat/task/gather.hpp>

#include <algorithm>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <ranges>
#include <span>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace lariat::detail {

/// One call for several items: the function, how many items, their arguments one after the other.
/// The answer is the number again, and as many results. A function is called for one item after the
/// other; tasks run at once.
template <class Fn>
struct chunk_runner {
    using sign = call_signature<Fn>;
    using result = typename sign::result;
    using arguments = typename sign::arguments;
    static constexpr bool gives = !std::is_void_v<result>;

    /// Results are written one after the other: in place, where their bytes are what goes.
    class answer_of {
     public:
        explicit answer_of(std::uint64_t count) {
            parcel_writer to(answer_);
            to.append(&count, sizeof count);
            if constexpr (in_place) answer_.bytes.resize(sizeof count + count * sizeof(result));
        }
        template <class Result>
        void add(Result&& each) {
            if constexpr (in_place) {
                std::memcpy(answer_.bytes.data() + at_, std::addressof(each), sizeof(result));
                at_ += sizeof(result);
            } else {
                parcel_writer to(answer_);
                write_value(to, std::forward<Result>(each));
            }
        }
        [[nodiscard]] parcel take() { return std::move(answer_); }

     private:
        static constexpr bool in_place = [] {
            if constexpr (gives) {
                return codec<result>::bulk && !std::is_empty_v<result>;
            } else {
                return false;
            }
        }();
        parcel answer_;
        std::size_t at_ = sizeof(std::uint64_t);
    };
    static parcel run(parcel&& from) {
        parcel_reader reader(from);
        Fn fn = read_function<Fn>(reader);
        const auto count = read_value<std::uint64_t>(reader);
        answer_of answer(count);
        for (std::uint64_t i = 0; i < count; ++i) {
            auto each = read_value<arguments>(reader);
            if constexpr (gives) {
                answer.add(result(std::apply(fn, std::move(each))));
            } else {
                static_cast<void>(std::apply(fn, std::move(each)));
            }
        }
        reader.finish();
        return answer.take();
    }
    // What a task takes by reference lies in this frame.
    static task<parcel> await(parcel from) {
        parcel_reader reader(from);
        Fn fn = read_function<Fn>(reader);
        const auto count = read_value<std::uint64_t>(reader);
        std::vector<arguments> all;
        all.reserve(count);
        for (std::uint64_t i = 0; i < count; ++i) all.push_back(read_value<arguments>(reader));
        reader.finish();
        std::vector<typename sign::returned> running;
        running.reserve(count);
        for (arguments& each : all) running.push_back(std::apply(fn, std::move(each)));
        answer_of answer(count);
        if constexpr (gives) {
            auto results = co_await gather(std::move(running));
            for (auto& each : results) answer.add(static_cast<result&&>(each));
        } else {
            co_await gather(std::move(running));
        }
        co_return answer.take();
    }
    static task<parcel> begin(parcel&& from) { return await(std::move(from)); }

    [[nodiscard]] static constexpr call_entry describe() noexcept {
        if constexpr (sign::is_task) {
            return {true, nullptr, &begin};
        } else {
            return {false, &run, nullptr};
        }
    }
    static constexpr call_entry entry = describe();
};

/// How an item of a range becomes the function's arguments: one of them, or spread out.
enum class item_kind { argument, tuple };

template <class Fn, item_kind Kind, class Item>
consteval bool takes_item() {
    if constexpr (can_be_sent<Fn, call_result::kept>()) {
        using sign = call_signature<Fn>;
        if constexpr (Kind == item_kind::argument) {
            static_assert(sign::count == 1,
                          "map calls a function of one parameter; starmap takes "
                          "tuples for one of several");
            return sign::count == 1;
        } else {
            static_assert(std::tuple_size_v<std::remove_cvref_t<Item>> == sign::count,
                          "starmap takes tuples with as many parts as the function has parameters");
            return std::tuple_size_v<std::remove_cvref_t<Item>> == sign::count;
        }
    }
    return false;
}

template <class Fn, item_kind Kind, class Item>
void write_call_item(parcel_writer& to, Item&& item) {
    using arguments = typename call_signature<Fn>::arguments;
    if constexpr (Kind == item_kind::argument) {
        write_argument<std::tuple_element_t<0, arguments>>(to, std::forward<Item>(item));
    } else {
        [&]<std::size_t... I>(std::index_sequence<I...>) {
            (write_argument<std::tuple_element_t<I, arguments>>(
                 to, std::get<I>(std::forward<Item>(item))),
             ...);
        }(std::make_index_sequence<std::tuple_size_v<arguments>>());
    }
}

inline constexpr std::size_t most_call_descriptors = 200;

/// Packs `count` items from `at` on, or what there is, or fewer of those whose descriptors are
/// many; and leaves `at` behind them and their number in `count`. With Moves the items are not
/// needed afterwards.
template <class Fn, item_kind Kind, bool Moves, class Iterator, class Sentinel>
packed_call pack_chunk(const Fn& fn, Iterator& at, const Sentinel& end, std::size_t& count,
                       std::size_t most_attached = ~std::size_t{0}) {
    using item = std::iter_value_t<Iterator>;
    packed_call call;
    parcel_writer to(call.arguments);
    write_function(to, fn);
    const std::size_t place = to.position();
    to.append_size(0);
    std::uint64_t written = 0;
    if constexpr (Kind == item_kind::argument && std::contiguous_iterator<Iterator> &&
                  codec<item>::bulk &&
                  std::is_same_v<std::tuple<item>, typename call_signature<Fn>::arguments>) {
        written = std::min(count, static_cast<std::size_t>(std::ranges::distance(at, end)));
        to.append(std::to_address(at), written * sizeof(item));
        at += static_cast<std::iter_difference_t<Iterator>>(written);
    } else {
        const std::vector<unique_fd>& descriptors = call.arguments.descriptors;
        std::size_t of_largest = 0;  // most items have as many as another
        for (; written < count && at != end; ++written, ++at) {
            const std::size_t before = descriptors.size();
            if (before + of_largest > most_attached) break;
            if constexpr (Moves) {
                write_call_item<Fn, Kind>(to, std::ranges::iter_move(at));
            } else {
                write_call_item<Fn, Kind>(to, *at);
            }
            of_largest = std::max(of_largest, descriptors.size() - before);
        }
    }
    std::memcpy(call.arguments.bytes.data() + place, &written, sizeof written);
    count = written;
    call.entry = &chunk_runner<Fn>::entry;
    return call;
}

/// The calls of a map: some at a time, so that a long range does not lie in memory twice.
///
/// Invariant    who waits is woken once all calls have ended, or one has failed; no call tells it
///              anything after that
class LARIAT_EXPORT remote_map : private call_listener {
 public:
    struct stretch {
        std::size_t begin;
        std::size_t count;
    };
    struct functions {
        /// Of automatic chunks there may be fewer items than asked for.
        packed_call (*pack)(remote_map&, stretch& part, bool automatic);
        void (*store)(remote_map&, stretch part, parcel&& answer);
        bool gives_descriptors;  ///< a result may hold some
    };

    remote_map(std::shared_ptr<process_pool_core> pool, const functions& how,
               const map_options& options) noexcept;
    /// Pre: not begun.
    remote_map(remote_map&& other) noexcept;
    ~remote_map() { stop(); }

    /// True if `when_done` will be woken. What the range or the pool throws is told by check().
    [[nodiscard]] bool start(std::size_t items, bool of_tasks, waiter& when_done) noexcept;
    /// Takes back what is under way; nobody is woken.
    void stop() noexcept;
    /// Pre: ended. Errors: what the first call to fail threw.
    void check() const;

 private:
    void feed();
    void settle(worker_call& call) noexcept;
    void fail(std::exception_ptr why) noexcept;
    void leave_pool() noexcept;
    static void told(call_listener& self, worker_call& call) noexcept;
    [[nodiscard]] std::size_t next_chunk() const noexcept;
    [[nodiscard]] bool complete() const noexcept { return failure_ || ended_ == items_; }

    std::shared_ptr<process_pool_core> pool_;
    const functions* how_;
    std::size_t chunk_;            // items: the most, and
    std::size_t least_chunk_ = 0;  // the least, but for the last one
    bool automatic_ = false;       // not chosen by the user
    map_progress* progress_;
    std::size_t items_ = 0;
    std::size_t given_ = 0;      // of these: to calls
    std::size_t ended_ = 0;      // and back
    std::size_t under_way_ = 0;  // calls
    std::size_t most_ = 0;       // of these
    std::size_t bytes_ = 0;      // of theirs
    list<group_link> calls_;
    bool counted_ = false;  // the pool knows of it
    waiter* when_done_ = nullptr;
    std::exception_ptr failure_;
};

/// What a map is about: items, function and results.
template <class Fn, item_kind Kind, bool Moves, class View>
class map_of_calls : public remote_map {
    using sign = call_signature<Fn>;
    using result = typename sign::result;
    static constexpr bool gives = !std::is_void_v<result>;
    static constexpr bool direct = [] {
        if constexpr (gives) {
            return std::is_default_constructible_v<result> && !std::is_same_v<result, bool>;
        } else {
            return false;
        }
    }();
    using stored_result = std::conditional_t<gives, result, char>;
    using slot = std::conditional_t<direct, stored_result, std::optional<stored_result>>;

 public:
    map_of_calls(std::shared_ptr<process_pool_core> pool, Fn fn, View items,
                 const map_options& options)
        : remote_map(std::move(pool), own_functions, options),
          fn_(std::move(fn)),
          items_(std::move(items)) {}

    [[nodiscard]] bool begin_work(waiter& when_done) {
        const auto count = static_cast<std::size_t>(std::ranges::size(items_));
        if constexpr (gives) results_.resize(count);
        return start(count, sign::is_task, when_done);
    }
    auto take() {
        check();
        if constexpr (gives) {
            if constexpr (direct) {
                return std::move(results_);
            } else {
                std::vector<result> all;
                all.reserve(results_.size());
                for (slot& each : results_) all.push_back(std::move(*each));
                return all;
            }
        }
    }

 private:
    static packed_call pack(remote_map& base, stretch& part, bool automatic) {
        auto& self = static_cast<map_of_calls&>(base);
        auto at = std::ranges::begin(self.items_) +
                  static_cast<std::ranges::range_difference_t<View>>(part.begin);
        return pack_chunk<Fn, Kind, Moves>(self.fn_, at, std::ranges::end(self.items_), part.count,
                                           automatic ? most_call_descriptors : ~std::size_t{0});
    }
    static void store(remote_map& base, stretch part, parcel&& answer) {
        auto& self = static_cast<map_of_calls&>(base);
        parcel_reader reader(answer);
        if (read_value<std::uint64_t>(reader) != part.count)
            throw parcel_error("a chunk's results");
        if constexpr (gives) {
            const auto into = std::span(self.results_).subspan(part.begin, part.count);
            if constexpr (direct && codec<result>::bulk) {
                reader.take(into.data(), into.size_bytes(), typeid(result));
            } else {
                for (slot& each : into) each = read_value<result>(reader);
            }
        }
        reader.finish();
    }
    static constexpr bool gives_descriptors = [] {
        if constexpr (gives) {
            return !codec<result>::copies;
        } else {
            return false;
        }
    }();
    static constexpr functions own_functions{&pack, &store, gives_descriptors};

    Fn fn_;
    View items_;
    std::vector<slot> results_;
};

class LARIAT_EXPORT remote_map_wait : public wait_point {
 protected:
    explicit remote_map_wait(remote_map& map) noexcept : wait_point(kind_of_wait), map_(&map) {}
    remote_map_wait(remote_map_wait&& other, remote_map& map) noexcept
        : wait_point(static_cast<wait_point&&>(other)), map_(&map) {}

 private:
    static void leave(waiter& w) noexcept;
    static const wait_kind kind_of_wait;

    remote_map* map_;
};

template <class Work>
class [[nodiscard("a map does nothing until it is awaited: co_await it")]] remote_map_awaiter
    : public remote_map_wait {
 public:
    template <class... Args>
    explicit remote_map_awaiter(std::in_place_t, Args&&... args)
        : remote_map_wait(work_), work_(std::forward<Args>(args)...) {}
    remote_map_awaiter(remote_map_awaiter&& other) noexcept
        : remote_map_wait(static_cast<remote_map_wait&&>(other), work_),
          work_(std::move(other.work_)) {}

    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) {
        party& p = party_of(frame);
        if (!work_.begin_work(*this)) return pass(p, frame);
        park(p, frame);
        return true;
    }
    auto await_resume() {
        throw_if_cut();
        return work_.take();
    }

 private:
    Work work_;
};

}  // namespace lariat::detail
