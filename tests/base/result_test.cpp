#include <lariat/base/result.hpp>

#include <doctest/doctest.h>

#include <cerrno>
#include <memory>
#include <ostream>
#include <string>
#include <system_error>
#include <utility>

namespace {

using lariat::errc;
using lariat::result;

TEST_CASE("result: holds a value") {
    result<std::string> text = std::string("hello");
    CHECK(text.has_value());
    CHECK(text);
    CHECK_FALSE(text.error());
    CHECK(*text == "hello");
    CHECK(text->size() == 5);
    text.value() += '!';
    CHECK(std::as_const(text)->size() == 6);
    CHECK(*std::as_const(text) == "hello!");
}

TEST_CASE("result: holds an error, and throws its exception when the value is demanded") {
    result<int> late = lariat::make_error_code(errc::timed_out);
    CHECK_FALSE(late.has_value());
    CHECK_FALSE(late);
    CHECK(late.error() == errc::timed_out);
    CHECK_THROWS_AS(static_cast<void>(late.value()), lariat::timeout_error);
    CHECK_THROWS_WITH_AS(static_cast<void>(std::move(late).value("reading")),
                         doctest::Contains("reading"), lariat::timeout_error);
    result<int> refused = lariat::system_code(-ECONNREFUSED);
    CHECK_THROWS_AS(static_cast<void>(refused.value()), std::system_error);
}

TEST_CASE("result: what it holds can be moved out") {
    result<std::unique_ptr<int>> first = std::make_unique<int>(1);
    const std::unique_ptr<int> out = std::move(first).value();
    CHECK(*out == 1);
    result<std::unique_ptr<int>> second = std::make_unique<int>(2);
    const std::unique_ptr<int> taken = *std::move(second);
    CHECK(*taken == 2);
}

TEST_CASE("result: without a value it is done, or an error") {
    result<> done;
    CHECK(done.has_value());
    CHECK(done);
    CHECK_NOTHROW(done.value());
    const result<> closed = lariat::make_error_code(errc::closed);
    CHECK_FALSE(closed);
    CHECK(closed.error() == errc::closed);
    CHECK_THROWS_AS(closed.value("sending"), lariat::closed_error);
}

}  // namespace
