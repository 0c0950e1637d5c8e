#include <lariat/process/parcel.hpp>

#include "leak_check.hpp"
#include "process/wire_support.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <limits>
#include <random>
#include <span>

#include <fcntl.h>

namespace {

using namespace lariat;
using namespace lariat::test;
using detail::pack;
using detail::parcel;
using detail::parcel_reader;
using detail::parcel_writer;
using detail::unpack;

template <class T>
std::string refusal(parcel packed) {
    try {
        (void)unpack<T>(std::move(packed));
    } catch (const parcel_error& error) {
        CHECK(error.code() == std::errc::bad_message);
        return error.what();
    }
    return "none";
}

TEST_CASE("parcel: a small call takes one allocation") {
    parcel packed = pack(std::uintptr_t{1}, 12L);
    CHECK(packed.bytes.size() == 16);
    CHECK(packed.bytes.capacity() == 128);
}

TEST_CASE("parcel: what is short, long or senseless is refused with its place") {
    parcel cut = pack(7, std::string("text"));
    cut.bytes.resize(10);
    CHECK(refusal<std::tuple<int, std::string>>(std::move(cut)).find("at byte 4: 8 bytes are due") <
          200);
    parcel cut_text = pack(std::string("text"));
    cut_text.bytes.pop_back();
    const std::string text = refusal<std::string>(std::move(cut_text));
    CHECK(text.find("string") < 60);
    CHECK(text.find("at byte 0: 4 items are due, and only 3 bytes are left") < 200);

    CHECK(refusal<int>(pack(1, 2)).find("4 bytes are left over") < 60);
    CHECK(refusal<bool>(pack(char{2})).find("bool at byte 1: neither true nor false") < 60);
    CHECK(refusal<yes_no>(pack(char{-1})).find("neither") < 90);
    using either = std::variant<int, std::string>;
    CHECK(refusal<either>(pack(std::uint32_t{2}, 1)).find("no alternative") < 200);
    CHECK(refusal<unique_fd>(pack(true)).find("a descriptor is due") < 90);
    parcel extra = pack(1);
    extra.descriptors.emplace_back();
    CHECK(refusal<int>(std::move(extra)).find("1 descriptors are left over") < 90);
    CHECK(refusal<parcel_slip>(parcel()).find("a shared object is due") < 90);
}

TEST_CASE("parcel: a forged length allocates nothing") {
    const auto announces = [](std::uint64_t items) { return pack(items, std::array<char, 100>()); };
    for (const std::uint64_t items :
         {std::uint64_t{101}, std::uint64_t{1} << 40U, std::uint64_t{1} << 61U,
          std::numeric_limits<std::uint64_t>::max()}) {
        CHECK(refusal<std::string>(announces(items)) != "none");
        CHECK(refusal<std::vector<long>>(announces(items)) != "none");
        CHECK(refusal<std::vector<bool>>(announces(items)) != "none");
        CHECK(refusal<std::vector<nothing>>(announces(items)) != "none");
        CHECK(refusal<std::vector<silent>>(announces(items)) != "none");
        CHECK(refusal<std::list<order>>(announces(items)) != "none");
        CHECK(refusal<std::unordered_map<int, int>>(announces(items)) != "none");
        CHECK(refusal<iban>(announces(items)) != "none");
    }
    CHECK(refusal<std::vector<long>>(announces(13)) != "none");  // 104 bytes
}

TEST_CASE("parcel: what a user's type refuses is a damaged parcel, too") {
    dog impossible("rex");
    impossible.years[0] = -1;
    CHECK_THROWS_AS((void)pack(impossible), cereal::Exception);
    parcel packed = pack(dog("rex"));
    packed.bytes[8 + 3 + 3] = std::byte{0xff};  // the sign, after the name
    CHECK(refusal<dog>(std::move(packed)).find("no such dog") < 90);
}

TEST_CASE("parcel: a forged chain ends") {
    parcel forged;
    parcel_writer to(forged);
    for (int i = 0; i < 100'000; ++i) {
        const struct {
            int length = 1;
            bool more = true;
        } link;
        to.append(&link.length, sizeof link.length);
        to.append(&link.more, 1);
    }
    CHECK(refusal<chain>(std::move(forged)).find("lies more than 1000 deep") < 90);
}

/// Unpacked, or refused; anything else is for the sanitizers.
void survive(parcel&& damaged, int& refused) {
    try {
        (void)unpack<everything, std::unique_ptr<chain>, parcel_of_files>(std::move(damaged));
    } catch (const parcel_error&) {
        ++refused;
    }
}

parcel make_sound() {
    auto links = std::make_unique<chain>();
    links->next = std::make_unique<chain>();
    parcel_of_files files;
    files.label = "files";
    files.more.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    return pack(make_everything(), std::move(links), std::move(files));
}

TEST_CASE_FIXTURE(leak_check, "parcel: cut short anywhere, it is refused") {
    const std::size_t whole = make_sound().bytes.size();
    int refused = 0;
    for (std::size_t bytes = 0; bytes < whole; ++bytes) {
        parcel damaged = make_sound();
        damaged.bytes.resize(bytes);
        survive(std::move(damaged), refused);
    }
    CHECK(refused == static_cast<int>(whole));
}

TEST_CASE_FIXTURE(leak_check, "parcel: bits that fell over make other values, or are refused") {
    std::mt19937 random(20);
    int refused = 0;
    const int rounds = long_tests() ? 200'000 : 3000;
    for (int round = 0; round < rounds; ++round) {
        parcel damaged = make_sound();
        std::uniform_int_distribution<std::size_t> place(0, damaged.bytes.size() - 1);
        for (int flips = round % 4; flips >= 0; --flips)
            damaged.bytes[place(random)] ^= std::byte{1} << (random() % 8);
        if (round % 5 == 0) damaged.bytes.resize(place(random));
        if (round % 7 == 0) damaged.descriptors.clear();
        survive(std::move(damaged), refused);
    }
    CHECK(refused > rounds / 10);
    CHECK(refused < rounds);
}

}  // namespace
