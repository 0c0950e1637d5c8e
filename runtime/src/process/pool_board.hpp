#pragma once

#include <lariat/process/arena.hpp>
#include <lariat/process/parcel.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

namespace lariat::detail {

/// How a call ended in its worker; or that it has begun, of one that has descriptors.
enum class answer_kind : std::uint16_t { value, thrown, begun };
/// Where its bytes are: right behind its header, or (of a message) they are the next message.
enum class answer_place : std::uint16_t { behind, next };

/// Heads an answer, on the board and in a message.
struct answer_header {
    std::uint64_t id = 0;  ///< of the call's sending; 0 on the board: nothing more before its end
    std::uint32_t slot = 0;
    answer_kind kind = answer_kind::value;
    answer_place where = answer_place::behind;
    std::uint64_t bytes = 0;
};
static_assert(sizeof(answer_header) == 24);

/// What a pool and one of its workers share: who may begin a call, and what came of it. It outlives
/// the worker, so that of one that was killed at any instruction the pool knows which calls it had
/// begun, and has every answer that it had given.
///
/// A slot stands for a call that was sent: empty -> sent (place) -> begun (begin, the worker) ->
/// empty (clear); sent -> empty (withdraw): whoever comes first, of the two, has it. The word holds
/// the id of the sending, so a slot is used again at once: a worker that comes upon the message of
/// a call that was withdrawn finds another id.
///
/// Answers lie in a ring, one after the other; one that does not fit goes by message. The bell
/// keeps a worker from calling its pool more often than that listens.
///
/// Threads      each side one
class pool_board {
 public:
    static constexpr std::uint32_t slot_count = 4096;
    static constexpr std::uint64_t most_bytes = 4096;  ///< of an answer that goes into the ring

    pool_board() noexcept {}  // the ring is left as it is: its pages are not touched

    // The worker's side.
    [[nodiscard]] bool begin(std::uint32_t slot, std::uint64_t id) noexcept;
    /// False if it does not fit.
    [[nodiscard]] bool publish(const answer_header& head, std::span<const std::byte> body) noexcept;
    /// What was published before is for the pool to see. True if it is to be called.
    [[nodiscard]] bool ring() noexcept { return bell_.exchange(1, std::memory_order_seq_cst) == 0; }
    void set_ready() noexcept { ready_.store(1, std::memory_order_release); }

    // The pool's side.
    void place(std::uint32_t slot, std::uint64_t id) noexcept;
    [[nodiscard]] bool withdraw(std::uint32_t slot, std::uint64_t id) noexcept;
    [[nodiscard]] bool has_begun(std::uint32_t slot, std::uint64_t id) const noexcept;
    void clear(std::uint32_t slot) noexcept;
    /// Whether it was called since. What the worker had published by then is there.
    [[nodiscard]] bool take_ring() noexcept {
        return bell_.exchange(0, std::memory_order_seq_cst) != 0;
    }
    /// The oldest answer; its bytes stay until drop(). False if there is none. A worker that broke
    /// the ring (it is memory that its functions can write) is told by `damaged`.
    [[nodiscard]] bool look(answer_header& head, std::span<const std::byte>& body,
                            bool& damaged) noexcept;
    void drop() noexcept;
    /// Whether its initializer has ended.
    [[nodiscard]] bool ready() const noexcept {
        return ready_.load(std::memory_order_acquire) != 0;
    }

 private:
    static constexpr std::uint64_t ring_bytes = 128 * 1024;
    static constexpr std::uint64_t sent = 1;
    static constexpr std::uint64_t begun = 2;
    [[nodiscard]] static constexpr std::uint64_t word(std::uint64_t id, std::uint64_t state) {
        return id << 2U | state;
    }
    [[nodiscard]] static constexpr std::uint64_t room_of(std::uint64_t bytes) {
        return sizeof(answer_header) + (bytes + 7) / 8 * 8;
    }

    std::array<std::atomic<std::uint64_t>, slot_count> slots_;
    alignas(64) std::atomic<std::uint32_t> ready_{0};
    std::atomic<std::uint32_t> bell_{0};
    alignas(64) std::atomic<std::uint64_t> written_{0};  // bytes ever, by the worker
    alignas(64) std::atomic<std::uint64_t> read_{0};     // bytes ever, by the pool
    alignas(64) std::array<std::byte, ring_bytes> ring_;
};

extern const cell_kind pool_board_kind;

}  // namespace lariat::detail
