#include <lariat/process/shm/mutex.hpp>

namespace lariat {

namespace {

constexpr detail::cell_kind kind{"shm::mutex", nullptr, &detail::mutex_body::sweep};

}  // namespace

void detail::mutex_body::throw_died() const {
    throw_owner_died(name, word.dead_pid(),
                     "take it with lock_to_repair(), repair that, and make_consistent()");
}

namespace shm {

mutex::mutex() : lock_verbs(detail::make_cell<detail::mutex_body>(kind)) {}

void mutex::pack_into(detail::parcel_writer& to) const { handle().pack_into(to); }

mutex mutex::unpack_from(detail::parcel_reader& from) {
    return mutex(detail::shared_handle<detail::mutex_body>::unpack(from, kind, typeid(mutex)));
}

}  // namespace shm

}  // namespace lariat
