#pragma once

#include <lariat/base/config.hpp>

#include <stdexcept>
#include <string>

namespace lariat::http {

/// What came back is no HTTP/1.x answer, or one that cannot be trusted; what() says what is wrong
/// and quotes the place. (An answer that merely ends too early is an incomplete_read, one that is
/// too big a limit_error.)
class LARIAT_EXPORT malformed_response : public std::runtime_error {
 public:
    explicit malformed_response(const std::string& why);
    ~malformed_response() override;
};

}  // namespace lariat::http
