#include <lariat/process/owner_died.hpp>

namespace lariat {

owner_died::owner_died(const std::string& object, int pid, const std::string& advice)
    : std::system_error(
          std::make_error_code(std::errc::owner_dead),
          object + ": process " + std::to_string(pid) +
              " ended while it held it; what it guards may be half changed: " + advice),
      pid_(pid) {}

owner_died::~owner_died() = default;

void detail::throw_owner_died(const char* object, int pid, const char* advice) {
    throw owner_died(object, pid, advice);
}

}  // namespace lariat
