#pragma once

#include <lariat/base/assert.hpp>
#include <lariat/process/arena.hpp>
#include <lariat/process/family.hpp>
#include <lariat/process/parcel.hpp>

#include <typeinfo>
#include <utility>

namespace lariat::detail {

/// What a handle of a shared object is made of: its reference, and where its body lies.
///
/// Threads      distinct objects
/// Lifetime     no longer than the process; moved from, it names nothing, and says so when used
template <class Body>
class shared_handle {
 public:
    explicit shared_handle(cell_ref of) noexcept
        : cell_(std::move(of)), body_(&cell_.body<Body>()) {}
    shared_handle(const shared_handle& other) noexcept = default;
    shared_handle(shared_handle&& other) noexcept
        : cell_(std::move(other.cell_)), body_(std::exchange(other.body_, nullptr)) {}
    shared_handle& operator=(shared_handle other) noexcept {
        std::swap(cell_, other.cell_);
        std::swap(body_, other.body_);
        return *this;
    }
    ~shared_handle() = default;

    [[nodiscard]] Body& operator*() const noexcept { return *get(); }
    [[nodiscard]] Body* operator->() const noexcept { return get(); }
    [[nodiscard]] Body* get() const noexcept {
        require(body_ != nullptr, "this handle names no shared object: it was moved from");
        return body_;
    }
    [[nodiscard]] const cell_ref& cell() const noexcept { return cell_; }
    /// Whether both name the same object.
    [[nodiscard]] bool operator==(const shared_handle& other) const noexcept {
        return body_ == other.body_;
    }

    void pack_into(parcel_writer& to) const { to.attach(cell_.share()); }
    /// `handle` is the user's type, for messages. Errors: parcel_error, std::system_error
    /// (EBADMSG).
    [[nodiscard]] static shared_handle unpack(parcel_reader& from, const cell_kind& kind,
                                              const std::type_info& handle) {
        return shared_handle(cell_ref::take(from.take_reference(handle), kind));
    }

 private:
    cell_ref cell_;
    Body* body_;
};

}  // namespace lariat::detail
