#pragma once

#include <lariat/base/config.hpp>
#include <lariat/base/frame_allocator.hpp>
#include <lariat/task/promise.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

namespace lariat::detail {

/// One open file. A `file` is a handle to it, and every verb under way holds on to it.
///
/// States       open -> closing (close(), or the handle went) -> released (no verb is under way:
///              the descriptor is given back)
/// Invariant 1  the descriptor is given back once, and while no verb uses it
/// Invariant 2  whoever closes (a close() that waits, else the last verb) gives it back, also when
///              it is cancelled
/// Threads      one loop's at a time
struct LARIAT_EXPORT file_state {
    file_state(int descriptor, std::string name, bool driver_does_files) noexcept
        : fd(descriptor), by_driver(driver_does_files), path(std::move(name)) {}
    file_state(const file_state&) = delete;
    file_state& operator=(const file_state&) = delete;
    static void* operator new(std::size_t bytes) { return allocate_frame(bytes); }
    static void operator delete(void* memory, std::size_t bytes) noexcept {
        deallocate_frame(memory, bytes);
    }

    void add_ref() noexcept { ++refs; }
    void drop_ref() noexcept {
        if (--refs == 0) delete this;
    }
    void verb_ended() noexcept;
    /// No close() waits any more: it is given back as soon as nobody uses it.
    void abandon() noexcept;
    /// On this thread, at once. Pre: no verb is under way.
    void release() noexcept;

    int fd;
    std::uint32_t refs = 1;
    std::uint32_t verbs = 0;  ///< under way
    bool by_driver;           ///< its loop's driver did the open itself
    bool closing = false;
    bool abandoned = false;
    bool released = false;
    waiter* closer = nullptr;  ///< waits until no verb is under way
    std::string path;          ///< as it was opened: for what errors say

 private:
    ~file_state() = default;
};

/// A verb's hold on its file: the handle may go before the verb has ended.
class file_use {
 public:
    file_use() noexcept = default;
    explicit file_use(file_state* of) noexcept : file_(of) {
        if (file_ != nullptr) file_->add_ref();
    }
    file_use(file_use&& other) noexcept
        : file_(std::exchange(other.file_, nullptr)), under_way_(other.under_way_) {}
    file_use& operator=(file_use&&) = delete;
    ~file_use() {
        if (file_ == nullptr) return;
        end();
        file_->drop_ref();
    }

    void begin() noexcept {
        ++file_->verbs;
        under_way_ = true;
    }
    void end() noexcept {
        if (std::exchange(under_way_, false)) file_->verb_ended();
    }

    [[nodiscard]] file_state* get() const noexcept { return file_; }
    [[nodiscard]] file_state* operator->() const noexcept { return file_; }
    [[nodiscard]] explicit operator bool() const noexcept { return file_ != nullptr; }

 private:
    file_state* file_ = nullptr;
    bool under_way_ = false;
};

/// Closes a file in steps; whatever cuts these short, the descriptor is given back.
class file_closer {
 public:
    /// From here on verbs find the file closed. Pre: it is open.
    explicit file_closer(file_state& of) noexcept : file_(&of) {
        of.add_ref();
        of.closing = true;
    }
    file_closer(file_closer&& other) noexcept : file_(std::exchange(other.file_, nullptr)) {}
    file_closer& operator=(file_closer&&) = delete;
    ~file_closer() {
        if (file_ == nullptr) return;
        file_->abandon();
        file_->drop_ref();
    }
    [[nodiscard]] file_state* operator->() const noexcept { return file_; }
    [[nodiscard]] file_state& operator*() const noexcept { return *file_; }

 private:
    file_state* file_;
};

}  // namespace lariat::detail
