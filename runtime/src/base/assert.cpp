#include <lariat/base/assert.hpp>

#include <cstdio>
#include <cstdlib>

namespace lariat::detail {

void rule_broken(const char* rule, std::source_location where) noexcept {
    std::fprintf(stderr, "lariat: %s:%u: %s: broken rule: %s\n", where.file_name(),
                 static_cast<unsigned>(where.line()), where.function_name(), rule);
    std::abort();
}

}  // namespace lariat::detail
