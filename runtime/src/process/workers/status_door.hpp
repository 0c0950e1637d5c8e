#pragma once

#include <lariat/base/unique_fd.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/task.hpp>

#include "process/socket_file.hpp"

#include <functional>
#include <string>

namespace lariat::detail {

/// A Unix socket that tells whoever connects how things are, and closes.
///
/// Lifetime     removes the socket's file when it goes, unless another lies there by now
class status_door {
 public:
    /// Errors: std::system_error with the path: it is in use, is no socket (EEXIST), or cannot be
    /// made.
    status_door(std::string path, std::function<std::string()> text);
    status_door(const status_door&) = delete;
    status_door& operator=(const status_door&) = delete;
    ~status_door();

 private:
    std::string path_;
    socket_file file_;
    join_handle<> answering_;
};

}  // namespace lariat::detail
