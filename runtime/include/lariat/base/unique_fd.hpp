#pragma once

#include <lariat/base/config.hpp>

#include <utility>

namespace lariat {

/// Owns one descriptor and closes it.
class LARIAT_EXPORT unique_fd {
 public:
    unique_fd() noexcept = default;
    explicit unique_fd(int fd) noexcept : fd_(fd) {}
    unique_fd(unique_fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    unique_fd& operator=(unique_fd&& other) noexcept {
        if (this != &other) reset(std::exchange(other.fd_, -1));
        return *this;
    }
    ~unique_fd() { reset(); }

    [[nodiscard]] int get() const noexcept { return fd_; }
    [[nodiscard]] explicit operator bool() const noexcept { return fd_ >= 0; }
    [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }
    /// Closes what it holds, then holds `fd`. errno is kept: an error on its way stays readable.
    void reset(int fd = -1) noexcept;

 private:
    int fd_ = -1;
};

}  // namespace lariat
