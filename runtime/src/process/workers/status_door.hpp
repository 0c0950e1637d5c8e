#pragma once

#include <lariat/base/unique_fd.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/task.hpp>

#include <functional>
#include <string>

namespace lariat::detail {

/// A Unix socket that tells whoever connects how things are, and closes.
///
/// Lifetime     removes the socket's file when it goes
class status_door {
 public:
    /// Errors: std::system_error with the path: it is in use, or cannot be made.
    status_door(std::string path, std::function<std::string()> text);
    status_door(const status_door&) = delete;
    status_door& operator=(const status_door&) = delete;
    ~status_door();

 private:
    std::string path_;
    join_handle<> answering_;
};

}  // namespace lariat::detail
