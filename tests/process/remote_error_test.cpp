#include <lariat/process/remote_error.hpp>

#include <lariat/base/error.hpp>
#include <lariat/process/wire.hpp>

#include <doctest/doctest.h>

#include <cerrno>
#include <filesystem>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <type_traits>

namespace shop {
struct sold_out : std::runtime_error {
    using std::runtime_error::runtime_error;
};
struct speechless : std::exception {
    const char* what() const noexcept override { return nullptr; }
};
class till_category final : public std::error_category {
 public:
    const char* name() const noexcept override { return "till"; }
    std::string message(int) const override { return "no change"; }
};
}  // namespace shop

namespace {

using namespace lariat;

/// As it arrives in the other process.
template <class Error>
std::exception_ptr sent(const Error& error) {
    detail::parcel packed = detail::pack(detail::carry(std::make_exception_ptr(error)));
    const auto [record] = detail::unpack<detail::exception_record>(std::move(packed));
    return detail::revive(record);
}

/// Whether it is of the same type there, not of one derived from it, and says the same.
template <class Error>
bool comes_back(const Error& error) {
    try {
        std::rethrow_exception(sent(error));
    } catch (const Error& back) {
        return typeid(back) == typeid(Error) && std::string(back.what()) == error.what();
    } catch (...) {
        return false;
    }
}

template <class Error>
remote_error as_remote(const Error& error) {
    try {
        std::rethrow_exception(sent(error));
    } catch (const remote_error& back) {
        return back;
    }
}

static_assert(std::is_nothrow_copy_constructible_v<remote_error>);

TEST_CASE("remote_error: the standard library's errors come as themselves") {
    CHECK(comes_back(std::runtime_error("a")));
    CHECK(comes_back(std::logic_error("")));
    CHECK(comes_back(std::invalid_argument("b")));
    CHECK(comes_back(std::out_of_range("c")));
    CHECK(comes_back(std::domain_error("d")));
    CHECK(comes_back(std::length_error("e")));
    CHECK(comes_back(std::range_error("f")));
    CHECK(comes_back(std::overflow_error("g")));
    CHECK(comes_back(std::underflow_error("h")));
    CHECK(comes_back(std::bad_alloc()));
    CHECK(comes_back(std::bad_optional_access()));
}

TEST_CASE("remote_error: a system_error keeps its code") {
    const std::system_error refused(ENOENT, std::system_category(), "open: x");
    CHECK(comes_back(refused));
    CHECK(comes_back(std::system_error(ENOENT, std::generic_category())));
    CHECK(comes_back(std::system_error(make_error_code(errc::limit), "mine")));
    try {
        std::rethrow_exception(sent(refused));
    } catch (const std::system_error& back) {
        CHECK(back.code() == refused.code());
    }
    const shop::till_category till;
    const remote_error unknown = as_remote(std::system_error(7, till, "till 3"));
    CHECK(unknown.type() == "std::system_error");
    CHECK(unknown.text() == "till 3: no change");
}

TEST_CASE("remote_error: Lariat's errors come as themselves") {
    CHECK(comes_back(timeout_error()));
    CHECK(comes_back(closed_error("the queue")));
    CHECK(comes_back(incomplete_read("the header")));
    CHECK(comes_back(incomplete_read("the header", 12)));
    CHECK(comes_back(broken_error("x")));
    CHECK(comes_back(limit_error("x")));
    CHECK(comes_back(task_cancelled()));
    CHECK(comes_back(queue_full("x")));
    CHECK(comes_back(queue_empty("x")));
    CHECK(comes_back(broken_barrier("x")));
    CHECK(comes_back(parcel_error("x")));
    try {
        std::rethrow_exception(sent(incomplete_read("the header", 12)));
    } catch (const incomplete_read& back) {
        CHECK(back.received() == 12);
    }
}

TEST_CASE("remote_error: others keep their name and text") {
    const remote_error gone = as_remote(shop::sold_out("no tickets: 0 left"));
    CHECK(gone.type() == "shop::sold_out");
    CHECK(gone.text() == "no tickets: 0 left");
    CHECK(std::string(gone.what()) == "shop::sold_out: no tickets: 0 left");
    CHECK(as_remote(shop::speechless()).type() == "shop::speechless");
    CHECK(as_remote(shop::speechless()).text().empty());
    CHECK(as_remote(42).type() == "int");
    CHECK(as_remote(42).text().empty());
    CHECK(std::string(as_remote(42).what()) == "int");
    CHECK(as_remote(shop::sold_out("")).text().empty());
}

TEST_CASE("remote_error: through two processes it stays the first one's") {
    const remote_error far = as_remote(as_remote(shop::sold_out("x")));
    CHECK(far.type() == "shop::sold_out");
    CHECK(far.text() == "x");
}

TEST_CASE("remote_error: whoever awaits a cancelled task of another process is not cancelled") {
    CHECK_THROWS_AS(std::rethrow_exception(sent(cancelled())), task_cancelled);
}

TEST_CASE("remote_error: a forged record makes no error that it cannot be") {
    detail::exception_record record;
    record.type = "lariat::timeout_error";
    record.text = "without its ending";
    CHECK_THROWS_AS(std::rethrow_exception(detail::revive(record)), remote_error);
    record.type = "std::system_error";
    record.category = "system";
    CHECK_THROWS_AS(std::rethrow_exception(detail::revive(record)), remote_error);
    CHECK_THROWS_AS(std::rethrow_exception(detail::revive(detail::exception_record())),
                    remote_error);
}

}  // namespace
