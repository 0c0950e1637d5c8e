#include <lariat/base/error.hpp>
#include <lariat/task/error_group.hpp>

#include <utility>

namespace lariat {

std::string describe(const std::exception_ptr& error) {
    try {
        std::rethrow_exception(error);
    } catch (const std::exception& known) {
        return known.what();
    } catch (const cancelled&) {
        return "lariat::cancelled";
    } catch (...) {
        return "an exception that is no std::exception";
    }
}

error_group::error_group(std::vector<std::exception_ptr> errors) : errors_(std::move(errors)) {
    text_ = std::to_string(errors_.size()) + " tasks failed";
    const char* before = ": ";
    for (const std::exception_ptr& error : errors_) {
        text_ += std::exchange(before, "; ") + describe(error);
    }
}

error_group::~error_group() = default;
error_group::error_group(const error_group&) = default;
error_group& error_group::operator=(const error_group&) = default;

void detail::throw_all(std::vector<std::exception_ptr> errors) {
    if (errors.size() == 1) std::rethrow_exception(errors.front());
    throw error_group(std::move(errors));
}

}  // namespace lariat
