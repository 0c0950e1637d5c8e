#include <lariat/process/parcel.hpp>

#include <algorithm>
#include <cstdlib>
#include <memory>

#include <cxxabi.h>

namespace lariat {

parcel_error::parcel_error(const std::string& what)
    : std::system_error(std::make_error_code(std::errc::bad_message), what) {}
parcel_error::~parcel_error() = default;

namespace detail {

std::string type_name(const std::type_info& type) {
    int status = 0;
    const std::unique_ptr<char, decltype(&std::free)> readable(
        abi::__cxa_demangle(type.name(), nullptr, nullptr, &status), &std::free);
    return readable != nullptr ? readable.get() : type.name();
}

void refuse_depth(const std::type_info& type) {
    throw parcel_error("a parcel: " + type_name(type) + " lies more than " +
                       std::to_string(max_parcel_depth) + " deep");
}

void parcel_writer::make_room(std::size_t bytes) {
    std::vector<std::byte>& all = into_.bytes;
    // Doubling, as the vector would; but roomy from the start, and for one large block as much as
    // it needs, with room for small things behind it: they would move it.
    const std::size_t behind = bytes > large_block ? first_room : 0;
    all.reserve(std::max({all.size() + bytes + behind, 2 * all.capacity(), first_room}));
}

unique_fd parcel_reader::take_descriptor(const std::type_info& type) {
    if (next_descriptor_ == descriptors_.size()) refuse(type, "a descriptor is due, none is left");
    return std::move(descriptors_[next_descriptor_++]);
}

transit_ref parcel_reader::take_reference(const std::type_info& type) {
    if (next_reference_ == references_.size()) refuse(type, "a shared object is due, none is left");
    return std::move(references_[next_reference_++]);
}

void parcel_reader::finish() const {
    const auto refuse_rest = [](std::size_t count, const char* what) {
        if (count != 0)
            throw parcel_error("a parcel was read, and " + std::to_string(count) + what +
                               " are left over");
    };
    refuse_rest(left(), " bytes");
    refuse_rest(descriptors_.size() - next_descriptor_, " descriptors");
    refuse_rest(references_.size() - next_reference_, " shared objects");
}

void parcel_reader::refuse(const std::type_info& type, const std::string& why) const {
    throw parcel_error("a parcel: " + type_name(type) + " at byte " + std::to_string(position_) +
                       ": " + why);
}

void parcel_reader::refuse_short(std::size_t bytes, const std::type_info& type) const {
    refuse(type, std::to_string(bytes) + " bytes are due, " + std::to_string(left()) + " are left");
}

void parcel_reader::refuse_size(std::uint64_t items, const std::type_info& type) {
    position_ -= sizeof items;
    refuse(type, std::to_string(items) + " items are due, and only " +
                     std::to_string(left() - sizeof items) + " bytes are left");
}

}  // namespace detail
}  // namespace lariat
