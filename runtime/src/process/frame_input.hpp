#pragma once

#include <lariat/base/unique_fd.hpp>
#include <lariat/process/parcel.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

struct msghdr;

namespace lariat::detail {

/// Heads a message on a stream. Its bytes follow, then the ids of its references, eight bytes each.
/// Its descriptors come with its first byte.
struct frame_header {
    std::uint64_t bytes = 0;
    std::uint32_t descriptors = 0;
    std::uint32_t references = 0;

    /// Of what follows.
    [[nodiscard]] std::size_t rest() const noexcept {
        return bytes + sizeof(std::uint64_t) * references;
    }
};
static_assert(sizeof(frame_header) == 16);

inline constexpr std::size_t most_frame_descriptors = 253;  // SCM_MAX_FD, unix(7)
inline constexpr int would_block_here = 1;                  ///< no errno: those are negated
enum class patience : std::uint8_t { none, waits };         ///< whether a call may block

/// What has been received of a stream of messages and was not taken yet.
///
/// One recvmsg takes as many small messages as 64 KiB hold; one that is larger is received into
/// memory of its own, and what comes behind it into the buffer all the same.
///
/// Descriptors: the kernel ends a recvmsg with the piece of data that carries some, so one call
/// brings one set at most; a sender attaches one message's to a call. So sets and messages that
/// have descriptors come in the same order, and it does not matter that bytes of the messages
/// before came with the set.
///
/// Allocation   64 KiB at the first receive, of which as much becomes resident as is used; what a
///              large message needs, up to 64 MiB at once, then doubling
class frame_input {
 public:
    /// One recvmsg. Returns 0 if something came (or the end: ended()), would_block_here, or a
    /// negated errno. Pre: the first message is not complete.
    [[nodiscard]] int receive(int socket, patience how = patience::none) noexcept;

    /// From a peer that is not of the family: what announces descriptors or references is damaged,
    /// and descriptors that come are closed.
    void take_only_bytes() noexcept { only_bytes_ = true; }

    /// The first message is there, whole.
    [[nodiscard]] bool complete() const noexcept { return complete_; }
    /// Its header is, so its size is known.
    [[nodiscard]] bool known() const noexcept { return known_; }
    [[nodiscard]] std::size_t size() const noexcept { return header_.bytes; }
    /// The sender's end is closed: nothing more will come.
    [[nodiscard]] bool ended() const noexcept { return ended_; }
    /// What comes next is no message, and nothing can be received behind it.
    [[nodiscard]] bool damaged() const noexcept { return damaged_; }
    /// Bytes of a message that is not complete.
    [[nodiscard]] std::size_t pending() const noexcept {
        return large_ ? sizeof header_ + filled_ : end_ - begin_;
    }
    /// The last look took all that was there: more is likely to take a while.
    [[nodiscard]] bool drained() const noexcept { return drained_; }

    /// Pre for these: complete().
    [[nodiscard]] std::span<const std::byte> bytes() const noexcept;
    /// Errors: std::bad_alloc, and it stays; std::system_error (EMFILE): this process had no room
    /// for its descriptors, and it is gone.
    [[nodiscard]] parcel take();
    /// Gives back what came with it.
    void drop() noexcept;

    /// For an end that goes to another process with what it has not given out yet.
    void pack_into(parcel_writer& to) &&;
    [[nodiscard]] static frame_input unpack_from(parcel_reader& from);

 private:
    struct descriptor_set {
        std::vector<unique_fd> owned;
        bool lost = false;  ///< not all: this process had no room
    };
    static constexpr std::size_t capacity = 64 * 1024;

    void look() noexcept;
    void make_room();
    void begin_large();
    void arrived(std::size_t count) noexcept;
    void keep_descriptors(msghdr& message) noexcept;
    [[nodiscard]] descriptor_set next_set() noexcept;
    [[nodiscard]] const std::byte* body() const noexcept;
    void advance() noexcept;

    std::unique_ptr<std::byte[]> room_;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
    frame_header header_;
    std::vector<std::byte> body_;  // of a message that the buffer does not hold
    std::size_t filled_ = 0;
    std::vector<descriptor_set> sets_;
    bool large_ = false;
    bool known_ = false;
    bool complete_ = false;
    bool damaged_ = false;
    bool ended_ = false;
    bool drained_ = false;
    bool only_bytes_ = false;
};

}  // namespace lariat::detail
