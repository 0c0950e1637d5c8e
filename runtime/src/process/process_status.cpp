#include <lariat/process/process_status.hpp>

#include <exception>

namespace lariat {

process_failed::process_failed(const std::string& what, int exit_code)
    : std::runtime_error(what), exit_code_(exit_code) {}
process_failed::~process_failed() = default;

void process_status::check() const {
    if (failure_) std::rethrow_exception(detail::revive(*failure_));
    if (exit_code_ == 0) return;
    const std::string how = exit_code_ < 0 ? " was ended by signal " + std::to_string(-exit_code_)
                                           : " ended with exit code " + std::to_string(exit_code_);
    throw process_failed(name_ + how, exit_code_);
}

}  // namespace lariat
