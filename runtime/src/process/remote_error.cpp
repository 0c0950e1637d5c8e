#include <lariat/process/remote_error.hpp>

#include <lariat/base/error.hpp>

#include <algorithm>
#include <array>
#include <new>
#include <optional>
#include <typeinfo>

#include <cxxabi.h>

namespace lariat {

remote_error::remote_error(std::string_view type, std::string_view text)
    : std::runtime_error(text.empty() ? std::string(type)
                                      : std::string(type).append(": ").append(text)),
      type_bytes_(type.size()) {}
remote_error::~remote_error() = default;

std::string_view remote_error::text() const noexcept {
    const std::string_view rest = whole().substr(type_bytes_);
    return rest.empty() ? rest : rest.substr(2);
}

namespace detail {

namespace {

/// `text` without `ending`: what an error was made of, before its constructor added to it.
std::optional<std::string> without(std::string_view text, std::string_view ending) {
    if (!text.ends_with(ending)) return {};
    return std::string(text.substr(0, text.size() - ending.size()));
}

template <class Error>
std::exception_ptr of_text(const exception_record& record) {
    return std::make_exception_ptr(Error(record.text));
}

/// Of a fixed text.
template <class Error>
std::exception_ptr of_nothing(const exception_record& record) {
    Error error;
    return record.text == error.what() ? std::make_exception_ptr(error) : nullptr;
}

/// One of those that add their code's message to the text themselves.
template <class Error, errc code>
std::exception_ptr of_code(const exception_record& record) {
    const auto text = without(record.text, ": " + make_error_code(code).message());
    return text ? std::make_exception_ptr(Error(*text)) : nullptr;
}

std::exception_ptr of_incomplete(const exception_record& record) {
    const std::string message = make_error_code(errc::incomplete).message();
    const auto known = without(
        record.text, " (" + std::to_string(record.received) + " bytes had come): " + message);
    if (known) return std::make_exception_ptr(incomplete_read(*known, record.received));
    return of_code<incomplete_read, errc::incomplete>(record);
}

std::exception_ptr of_parcel(const exception_record& record) {
    const auto code = std::make_error_code(std::errc::bad_message);
    const auto text = without(record.text, ": " + code.message());
    return text ? std::make_exception_ptr(parcel_error(*text)) : nullptr;
}

const std::error_category* category_named(std::string_view name) {
    for (const std::error_category* known :
         {&std::generic_category(), &std::system_category(), &lariat_category()})
        if (name == known->name()) return known;
    return nullptr;
}

std::exception_ptr of_system(const exception_record& record) {
    const std::error_category* category = category_named(record.category);
    if (category == nullptr) return nullptr;
    const std::error_code code(static_cast<int>(record.number), *category);
    if (record.text == code.message()) return std::make_exception_ptr(std::system_error(code));
    const auto text = without(record.text, ": " + code.message());
    return text ? std::make_exception_ptr(std::system_error(code, *text)) : nullptr;
}

struct known_error {
    const std::type_info* type;
    /// Null if this text cannot be its own.
    std::exception_ptr (*revive)(const exception_record&);
};

const std::array known_errors{
    known_error{&typeid(std::runtime_error), of_text<std::runtime_error>},
    known_error{&typeid(std::logic_error), of_text<std::logic_error>},
    known_error{&typeid(std::invalid_argument), of_text<std::invalid_argument>},
    known_error{&typeid(std::out_of_range), of_text<std::out_of_range>},
    known_error{&typeid(std::domain_error), of_text<std::domain_error>},
    known_error{&typeid(std::length_error), of_text<std::length_error>},
    known_error{&typeid(std::range_error), of_text<std::range_error>},
    known_error{&typeid(std::overflow_error), of_text<std::overflow_error>},
    known_error{&typeid(std::underflow_error), of_text<std::underflow_error>},
    known_error{&typeid(std::bad_alloc), of_nothing<std::bad_alloc>},
    known_error{&typeid(std::bad_optional_access), of_nothing<std::bad_optional_access>},
    known_error{&typeid(std::system_error), of_system},
    known_error{&typeid(timeout_error), of_code<timeout_error, errc::timed_out>},
    known_error{&typeid(closed_error), of_code<closed_error, errc::closed>},
    known_error{&typeid(incomplete_read), of_incomplete},
    known_error{&typeid(broken_error), of_code<broken_error, errc::broken>},
    known_error{&typeid(limit_error), of_code<limit_error, errc::limit>},
    known_error{&typeid(task_cancelled), of_code<task_cancelled, errc::task_cancelled>},
    known_error{&typeid(queue_full), of_code<queue_full, errc::full>},
    known_error{&typeid(queue_empty), of_code<queue_empty, errc::empty>},
    known_error{&typeid(broken_barrier), of_code<broken_barrier, errc::broken_barrier>},
    known_error{&typeid(parcel_error), of_parcel},
};

void append_text(parcel_writer& to, const std::string& text) {
    to.append_size(text.size());
    to.append(text.data(), text.size());
}

std::string take_text(parcel_reader& from) {
    std::string text(from.take_size(1, typeid(exception_record)), '\0');
    from.take(text.data(), text.size(), typeid(exception_record));
    return text;
}

}  // namespace

void exception_record::pack_into(parcel_writer& to) const {
    append_text(to, type);
    append_text(to, text);
    append_text(to, category);
    to.append(&number, sizeof number);
    to.append(&received, sizeof received);
}

exception_record exception_record::unpack_from(parcel_reader& from) {
    exception_record record;
    record.type = take_text(from);
    record.text = take_text(from);
    record.category = take_text(from);
    from.take(&record.number, sizeof record.number, typeid(exception_record));
    from.take(&record.received, sizeof record.received, typeid(exception_record));
    return record;
}

exception_record carry(const std::exception_ptr& thrown) {
    exception_record record;
    try {
        std::rethrow_exception(thrown);
    } catch (const remote_error& error) {  // passes through this process
        record.type = error.type();
        record.text = error.text();
    } catch (const std::exception& error) {
        record.type = type_name(typeid(error));
        if (const char* const text = error.what()) record.text = text;  // a class may give null
        if (const auto* coded = dynamic_cast<const std::system_error*>(&error)) {
            record.category = coded->code().category().name();
            record.number = coded->code().value();
        }
        if (const auto* short_of = dynamic_cast<const incomplete_read*>(&error))
            record.received = short_of->received();
    } catch (const cancelled&) {
        // Cancelled by its own process; the one that waits for it was not.
        return carry(std::make_exception_ptr(task_cancelled()));
    } catch (...) {
        const std::type_info* type = abi::__cxa_current_exception_type();
        record.type = type != nullptr ? type_name(*type) : "an exception of another language";
    }
    return record;
}

std::exception_ptr revive(const exception_record& record) {
    static const auto names = [] {
        std::array<std::string, known_errors.size()> all;
        for (std::size_t i = 0; i < all.size(); ++i) all[i] = type_name(*known_errors[i].type);
        return all;
    }();
    const auto found = std::find(names.begin(), names.end(), record.type);
    if (found != names.end()) {
        const auto& known = known_errors[static_cast<std::size_t>(found - names.begin())];
        if (std::exception_ptr same = known.revive(record)) return same;
    }
    return std::make_exception_ptr(remote_error(record.type, record.text));
}

}  // namespace detail
}  // namespace lariat
