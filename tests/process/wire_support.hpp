#pragma once

#include <lariat/process/wire.hpp>

#include <lariat/base/unique_fd.hpp>

#include <cereal/types/base_class.hpp>

#include <bitset>
#include <chrono>
#include <complex>
#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

namespace lariat::test {

enum class colour : std::uint8_t { red, green };
enum class yes_no : bool { no, yes };

struct point {
    double x = 0;
    double y = 0;
    bool operator==(const point&) const = default;
};

/// Trivially copyable, and there is no default.
struct ticket {
    explicit ticket(int its_number) : number(its_number) {}
    int number;
    bool operator==(const ticket&) const = default;
};

struct nothing {
    bool operator==(const nothing&) const = default;
};

/// Its functions write no byte.
struct silent {
    std::string kept_here;
    template <class Archive>
    void serialize(Archive&) {}
    bool operator==(const silent&) const = default;
};

struct order {
    std::string article;
    int pieces = 0;
    std::vector<order> parts;
    std::map<std::string, std::optional<point>> places;

    template <class Archive>
    void serialize(Archive& archive) {
        archive(article, pieces, parts, CEREAL_NVP(places));
    }
    bool operator==(const order&) const = default;
};

/// Two functions instead of one, outside of the class.
struct celsius {
    double degrees = 0;
    bool operator==(const celsius&) const = default;
};
template <class Archive>
void save(Archive& archive, const celsius& value) {
    archive(value.degrees + 273.15, std::vector<int>{1, 2});
}
template <class Archive>
void load(Archive& archive, celsius& value) {
    std::vector<int> more;
    archive(value.degrees, more);
    value.degrees -= 273.15;
}

/// One value stands for it.
struct iban {
    std::string text;
    template <class Archive>
    std::string save_minimal(const Archive&) const {
        return text;
    }
    template <class Archive>
    void load_minimal(const Archive&, const std::string& from) {
        text = from;
    }
    bool operator==(const iban&) const = default;
};

/// Two functions, and a version: registered with none, it is 0.
class fahrenheit {
 public:
    double degrees = 0;
    bool operator==(const fahrenheit&) const = default;
    template <class Archive>
    void save(Archive& archive, std::uint32_t version) const {
        archive(degrees + version);
    }
    template <class Archive>
    void load(Archive& archive, std::uint32_t version) {
        archive(degrees);
        degrees -= version;
    }
};

/// With a version, a base class and arrays; its functions are for cereal alone.
struct animal {
    std::string name;
    template <class Archive>
    void serialize(Archive& archive) {
        archive & name;
    }
    bool operator==(const animal&) const = default;
};
class dog : public animal {
 public:
    dog() = default;
    explicit dog(std::string its_name) { name = std::move(its_name); }
    int years[3] = {0, 0, 0};
    std::string nick[2];

    bool operator==(const dog& other) const {
        return name == other.name && years[2] == other.years[2] && nick[1] == other.nick[1];
    }

 private:
    friend class cereal::access;
    template <class Archive>
    void serialize(Archive& archive, std::uint32_t version) {
        archive(cereal::base_class<animal>(this), years, nick);
        if (version != 3 || years[0] < 0) throw cereal::Exception("no such dog");
    }
};

/// Its descriptors move.
struct parcel_of_files {
    std::string label;
    unique_fd first;
    std::vector<unique_fd> more;

    template <class Archive>
    void serialize(Archive& archive) {
        archive(label, first, more);
    }
};

struct chain {
    int length = 0;
    std::unique_ptr<chain> next;
    template <class Archive>
    void serialize(Archive& archive) {
        archive(length, next);
    }
};

/// Lariat's own way, from the reference side: it can be moved only.
class parcel_slip {
 public:
    explicit parcel_slip(std::uint64_t number) : under_way_(number) {}
    void pack_into(detail::parcel_writer& to) && { to.attach(std::move(under_way_)); }
    static parcel_slip unpack_from(detail::parcel_reader& from) {
        parcel_slip slip(0);
        slip.under_way_ = from.take_reference(typeid(parcel_slip));
        return slip;
    }
    [[nodiscard]] std::uint64_t take() noexcept { return under_way_.release(); }

 private:
    detail::transit_ref under_way_;
};

/// A value of nearly everything.
using everything =
    std::tuple<bool, char, std::int64_t, double, colour, yes_no, point, ticket, std::string,
               std::u16string, std::vector<long>, std::vector<bool>, std::vector<std::string>,
               std::array<int, 4>, std::array<std::string, 2>, std::array<ticket, 2>,
               std::deque<int>, std::list<std::string>, std::map<int, std::string>,
               std::multimap<std::string, int>, std::unordered_map<std::string, point>,
               std::set<std::string>, std::unordered_set<int>, std::optional<std::string>,
               std::pair<const int, std::string>, std::variant<int, std::string, point>,
               std::chrono::milliseconds, std::chrono::system_clock::time_point,
               std::complex<double>, std::bitset<70>, order, celsius, fahrenheit, iban, dog>;

[[nodiscard]] inline everything make_everything() {
    using namespace std::chrono_literals;
    dog rex("rex");
    rex.years[2] = 7;
    rex.nick[1] = "r";
    const order inner{"nail", 12, {}, {{"here", point{1, 2}}, {"there", {}}}};
    return everything(true, 'x', -5, 2.5, colour::green, yes_no::yes, point{1, 2}, ticket(9),
                      "text", u"\u00e4\u00f6", {1, 2, 3}, {true, false, true}, {"a", "", "c"},
                      {1, 2, 3, 4}, {"a", "b"}, {ticket(1), ticket(2)}, {5, 6}, {"l"},
                      {{1, "one"}, {2, "two"}}, {{"k", 1}, {"k", 2}}, {{"p", point{3, 4}}},
                      {"s", "t"}, {7, 8}, "maybe", {1, "pair"}, point{5, 6}, 15ms,
                      std::chrono::system_clock::time_point(99s), std::complex<double>(1, -1),
                      std::bitset<70>("1011"), order{"box", 1, {inner, inner}, {}}, celsius{20},
                      fahrenheit{68}, iban{"DE12"}, rex);
}

}  // namespace lariat::test

CEREAL_CLASS_VERSION(lariat::test::dog, 3)
