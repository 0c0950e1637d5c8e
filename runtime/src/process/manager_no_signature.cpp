// Where there is no libcrypto: check_key() has refused before anything is to be signed.

#include "process/manager_signature.hpp"

namespace lariat::detail {

bool can_sign() noexcept { return false; }
digest sign(const std::string&, std::string_view, const challenge&) { return {}; }
bool same(const digest&, const digest&) noexcept { return false; }

}  // namespace lariat::detail
