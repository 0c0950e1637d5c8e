#pragma once

#include <lariat/loop/loop_ref.hpp>
#include <lariat/loop/mailbox.hpp>
#include <lariat/task/task.hpp>
#include <lariat/task/wait_queue.hpp>

#include <cstddef>
#include <utility>

/// Library use: what a sharded object is made of.
namespace lariat::detail {

/// One core's instance, without its type.
///
/// States       open -> closed (no call begins any more) -> destroyed, with the last hold
/// Invariant 1  `holds` counts the sharded object, and the calls under way; all of this is its own
///              core's, but that the message in it may be posted from another
/// Invariant 2  it is destroyed on its own core; or, where that has ended, by who finds it so
class LARIAT_EXPORT shard_core : public posted {
 public:
    using destroyer = void (*)(shard_core&) noexcept;

    explicit shard_core(destroyer how) noexcept : posted(&told_to_go), destroy_(how) {}
    shard_core(const shard_core&) = delete;
    shard_core& operator=(const shard_core&) = delete;

    [[nodiscard]] bool is_open() const noexcept { return open_; }
    void close() noexcept { open_ = false; }
    /// Returns when no call is under way.
    [[nodiscard]] task<> wait_idle();
    void let_go() noexcept;
    /// Closes it and lets it go, there and soon. From anywhere, when no call to it can come.
    void abandon(const loop_ref& where) noexcept;

    /// A call's hold.
    class LARIAT_EXPORT hold {
     public:
        explicit hold(shard_core& which) noexcept : which_(&which) { ++which.holds_; }
        hold(const hold&) = delete;
        hold& operator=(const hold&) = delete;
        ~hold() { which_->let_go(); }

     private:
        shard_core* which_;
    };

 protected:
    ~shard_core() = default;

 private:
    static void told_to_go(posted& message, end how);

    destroyer destroy_;
    std::size_t holds_ = 1;
    bool open_ = true;
    wait_queue idle_;
};

template <class T>
struct shard final : shard_core {
    template <class... Args>
    explicit shard(Args&&... args)
        : shard_core(&destroy_this), value(std::forward<Args>(args)...) {}
    static void destroy_this(shard_core& base) noexcept { delete static_cast<shard*>(&base); }

    T value;
};

/// The one for `core`, if a call may begin there. Errors: closed_error.
[[nodiscard]] LARIAT_EXPORT shard_core& require_open(shard_core* found, std::size_t core);

}  // namespace lariat::detail
