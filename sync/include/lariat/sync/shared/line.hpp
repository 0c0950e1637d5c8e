#pragma once

#include <lariat/base/assert.hpp>
#include <lariat/base/list.hpp>

namespace lariat::detail {

/// One who waits in a line that threads share: a task of some loop, or a thread. It lies in the
/// waiting frame, or on the waiting thread's stack.
///
/// States       outside -> in line (add) -> served (serve_first) -> told (tell) -> gone;
///              in line -> outside (leave: cut, or out of time)
/// Invariant 1  all but `tell` happens under the lock of the primitive whose line it is
/// Invariant 2  once served it does not leave: it stays until it was told, which is its server's
///              duty and the last that anybody else does with it
struct shared_place : list_link {
    using teller = void (*)(shared_place&) noexcept;

    explicit shared_place(teller how) noexcept : tell(how) {}
    /// A wait that is moved before it began.
    shared_place(teller how, const shared_place&) noexcept : tell(how) {}

    teller tell;
    bool served = false;
};

/// The line of a shared primitive: tasks of all loops, and threads.
///
/// Order        FIFO, also when some leave; served in that order. Who was served by one thread and
///              who by another may be told in either order
/// Threads      under the primitive's lock
/// Lifetime     its waiters leave first: an object may not die under them (asserted)
/// Allocation   none; leaving is O(1)
template <class Place = shared_place>
class shared_line {
 public:
    shared_line() noexcept = default;
    shared_line(const shared_line&) = delete;
    shared_line& operator=(const shared_line&) = delete;
    ~shared_line() {
        require(places_.empty(), "an object must outlive the tasks and threads that wait for it");
    }

    [[nodiscard]] bool empty() const noexcept { return places_.empty(); }
    void add(Place& last) noexcept {
        last.served = false;
        places_.push_back(last);
    }
    /// Takes out the first, who now has what it came for. Pre: not empty.
    [[nodiscard]] Place& serve_first() noexcept {
        Place& first = places_.pop_front();
        first.served = true;
        return first;
    }
    /// False if it was served before.
    [[nodiscard]] static bool leave(Place& one) noexcept {
        if (one.served) return false;
        static_cast<shared_place&>(one).unlink();
        return true;
    }

 private:
    list<Place> places_;
};

/// Those who were served under a lock, to be told after it. Declare it before the lock is taken:
/// what wakes them may enter the kernel.
class served_places {
 public:
    served_places() noexcept = default;
    served_places(const served_places&) = delete;
    served_places& operator=(const served_places&) = delete;
    ~served_places() {
        while (!places_.empty()) {
            shared_place& next = places_.pop_front();
            next.tell(next);
        }
    }
    void add(shared_place& one) noexcept { places_.push_back(one); }

 private:
    list<shared_place> places_;
};

}  // namespace lariat::detail
