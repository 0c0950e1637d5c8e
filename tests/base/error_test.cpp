#include <lariat/base/error.hpp>

#include <doctest/doctest.h>

#include <cerrno>
#include <exception>
#include <ostream>
#include <string>
#include <system_error>
#include <type_traits>

namespace {

using lariat::errc;

template <class Thrown>
void throws(errc code) {
    CAPTURE(static_cast<int>(code));
    bool exact = false;
    try {
        lariat::throw_error(code, "reading");
    } catch (const std::system_error& error) {
        exact = dynamic_cast<const Thrown*>(&error) != nullptr;
        CHECK(error.code() == code);
        CHECK(std::string(error.what()).starts_with("reading"));
    }
    CHECK(exact);
}

TEST_CASE("error: each of Lariat's codes is thrown as the type of its own") {
    throws<lariat::timeout_error>(errc::timed_out);
    throws<lariat::closed_error>(errc::closed);
    throws<lariat::incomplete_read>(errc::incomplete);
    throws<lariat::broken_error>(errc::broken);
    throws<lariat::task_cancelled>(errc::task_cancelled);
    throws<lariat::limit_error>(errc::limit);
    throws<lariat::queue_full>(errc::full);
    throws<lariat::queue_empty>(errc::empty);
    throws<lariat::broken_barrier>(errc::broken_barrier);
}

TEST_CASE("error: the system's codes are thrown as system_error, with their errno") {
    for (const int number : {ECONNREFUSED, EPIPE, ENOENT}) {
        try {
            lariat::throw_error(lariat::system_code(-number), std::string("connecting"));
        } catch (const std::system_error& error) {
            CHECK(error.code().value() == number);
            CHECK(error.code().category() == std::system_category());
            CHECK(typeid(error) == typeid(std::system_error));
        }
    }
    CHECK(lariat::system_code(-EPIPE) == std::errc::broken_pipe);
}

TEST_CASE("error: a code of Lariat's that nobody knows is thrown all the same, and says so") {
    const std::error_code unknown(999, lariat::lariat_category());
    CHECK_THROWS_AS(lariat::throw_error(unknown, "x"), std::system_error);
    CHECK(unknown.message() == "unknown code 999");
}

TEST_CASE("error: no two codes say the same, nor the same as success") {
    CHECK(lariat::make_error_code(errc::closed));
    for (int a = 1; a <= 9; ++a)
        for (int b = a + 1; b <= 9; ++b)
            CHECK(lariat::lariat_category().message(a) != lariat::lariat_category().message(b));
    CHECK(std::string(lariat::lariat_category().name()) == "lariat");
    CHECK(lariat::make_error_code(errc::timed_out) != std::error_code(1, std::system_category()));
}

TEST_CASE("error: an incomplete read tells how much had come") {
    const lariat::incomplete_read error("the header", 17);
    CHECK(error.received() == 17);
    CHECK(std::string(error.what()).find("17 bytes") != std::string::npos);
}

TEST_CASE("error: cancellation passes every handler of exceptions, a cancelled task's error not") {
    static_assert(!std::is_base_of_v<std::exception, lariat::cancelled>);
    static_assert(std::is_base_of_v<std::exception, lariat::task_cancelled>);
    bool passed = false;
    try {
        try {
            throw lariat::cancelled();
        } catch (const std::exception&) {
            FAIL("swallowed");
        }
    } catch (const lariat::cancelled&) {
        passed = true;
    }
    CHECK(passed);
}

}  // namespace
