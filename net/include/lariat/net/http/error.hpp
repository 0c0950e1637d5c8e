#pragma once

#include <lariat/base/config.hpp>

#include <stdexcept>
#include <string>
#include <vector>

namespace lariat::http {

/// What came back is no HTTP/1.x answer, or one that cannot be trusted; what() says what is wrong
/// and quotes the place. (An answer that merely ends too early is an incomplete_read, one that is
/// too big a limit_error.)
class LARIAT_EXPORT malformed_response : public std::runtime_error {
 public:
    explicit malformed_response(const std::string& why);
    /// The same, after "GET http://example.com/" or whatever was asked.
    malformed_response(const std::string& request, const malformed_response& answer);
    ~malformed_response() override;
};

/// An answer was one redirect more than max_redirects; what() names the URLs.
class LARIAT_EXPORT too_many_redirects : public std::runtime_error {
 public:
    too_many_redirects(const std::string& request, std::vector<std::string> urls);
    ~too_many_redirects() override;
    /// Where the request had been, in order; the last one was not asked any more.
    [[nodiscard]] const std::vector<std::string>& urls() const noexcept { return urls_; }

 private:
    std::vector<std::string> urls_;
};

}  // namespace lariat::http
