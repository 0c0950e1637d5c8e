#pragma once

#include <lariat/process/family.hpp>
#include <lariat/process/managed_barrier.hpp>
#include <lariat/process/managed_bounded_semaphore.hpp>
#include <lariat/process/managed_condition.hpp>
#include <lariat/process/managed_dict.hpp>
#include <lariat/process/managed_event.hpp>
#include <lariat/process/managed_list.hpp>
#include <lariat/process/managed_mutex.hpp>
#include <lariat/process/managed_namespace.hpp>
#include <lariat/process/managed_queue.hpp>
#include <lariat/process/managed_recursive_mutex.hpp>
#include <lariat/process/managed_semaphore.hpp>
#include <lariat/process/managed_value.hpp>
#include <lariat/process/manager_call.hpp>
#include <lariat/process/manager_options.hpp>
#include <lariat/task/task.hpp>

#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

namespace lariat {

/// A process that holds objects for others: dicts, lists, queues, locks, or classes of the user's.
/// Who has a proxy of one calls its methods; so what is too rich for shared memory is shared all
/// the same, also with another program or machine.
///
///     lariat::manager m = lariat::manager::start();
///     auto stock = co_await m.make<lariat::managed_dict<std::string, int>>();
///     co_await stock.set("pear", 3);
///     auto child = lariat::process::start(sell, stock);      // void sell(managed_dict<...>)
///
/// An operation is one message there and one back; of a process's, any number is under way at a
/// time, over one connection, and one that waits (an empty queue's get) is in nobody's way.
/// Another program uses the same types: an operation is found by its types' names there.
///
/// Order        operations that were begun in one task's order, begin in it; what waits is answered
///              when it can be
/// Threads      of one handle: one at a time; each loop has a connection of its own, and what that
///              holds (a lock) is given back by the same loop
/// Lifetime     the manager goes with shutdown(), or when the process that started it drops its
///              last handle and proxy, or ends, however it ends: it is a daemon. Handles and
///              proxies can be arguments, and items of pipes, queues, and of the manager's objects
/// Allocation   a connection: 64 KiB; an operation: its message
/// Limits       253 descriptors a message, of which a proxy is one; messages from an address:
///              options.max_message. Shared memory, descriptors and proxies stay in the family
class LARIAT_EXPORT manager : public detail::any_proxy {
 public:
    /// Empty: for a move into it.
    manager() noexcept = default;
    /// Starts one, and has it listen at options.address. Blocks until its pid is known, some
    /// 300 us · Errors: those of process::start; std::system_error for an address that cannot be
    /// bound (EEXIST: a path where something lies that is no socket); std::invalid_argument for an
    /// address without a key.
    [[nodiscard("a manager whose handle goes is ended: keep it")]] static manager start(
        const manager_options& options = manager_options());
    /// Reaches one that listens at `where`, of this family or of another program.
    ///
    /// Suspends until both have proved the key · Errors: authentication_error; std::system_error ·
    /// Cancel: no connection is left. It belongs to this loop; what was made over it and has no
    /// name goes with it.
    [[nodiscard]] static task<manager> connect(manager_address where, std::string authkey);

    /// Makes an object there: an empty dict, a queue of so many, a T(args...) for proxy<T>.
    ///
    /// Suspends until it is made · Returns its proxy · Errors: what its constructor throws; those
    /// of proxy::call · Cancel: nothing was made; what is made too late goes again, and its name.
    template <class Proxy, class... Args>
    [[nodiscard]] auto make(Args&&... args) const {
        return make_named<Proxy>(std::string(), std::forward<Args>(args)...);
    }
    /// The same, to be found by a name, and kept until that is forgotten. Errors:
    /// std::invalid_argument if there is one of this name.
    template <class Proxy, class... Args>
    [[nodiscard]] auto make_named(const std::string& name, Args&&... args) const {
        auto initial = Proxy::initial(std::forward<Args>(args)...);
        using handler = detail::maker<typename Proxy::body, decltype(initial)>;
        detail::parcel request =
            pack_request(detail::manager_request::verb::make, detail::call_key<handler>, name);
        detail::parcel_writer to(request);
        detail::write_value(to, std::move(initial));
        return detail::manager_find<Proxy>(checked(), std::move(request), typeid(handler),
                                           given_back(!name.empty()));
    }
    /// The object of this name · Errors: std::out_of_range if there is none; std::invalid_argument
    /// if it is of another type.
    template <class Proxy>
    [[nodiscard]] detail::manager_find<Proxy> get(const std::string& name) const {
        using body = typename Proxy::body;
        return detail::manager_find<Proxy>(
            checked(),
            pack_request(detail::manager_request::verb::get, detail::name_key(typeid(body).name()),
                         name),
            typeid(body), given_back(false));
    }
    /// Gives the name up: the object then goes with its last proxy · Returns false if there was
    /// none of this name.
    [[nodiscard]] detail::manager_call<bool> forget(const std::string& name) const;

    /// Ends the manager: operations under way, here and elsewhere, fail with closed_error.
    ///
    /// Suspends until its process has ended; it is killed after options.grace · Errors:
    /// std::logic_error in a process that did not start it · Cancel: stops waiting; it ends all the
    /// same.
    [[nodiscard]] task<> shutdown() const;

    [[nodiscard]] int pid() const noexcept;
    /// Where it listens, with the port that the system chose; the place it was reached at.
    [[nodiscard]] const std::optional<manager_address>& address() const noexcept;

    [[nodiscard]] static manager unpack_from(detail::parcel_reader& from);

 private:
    explicit manager(detail::managed_ref link) noexcept : any_proxy(std::move(link)) {}

    [[nodiscard]] static detail::parcel pack_request(detail::manager_request::verb what,
                                                     std::uint64_t key, const std::string& name);
    [[nodiscard]] static detail::manager_undo given_back(bool named) noexcept {
        detail::manager_undo undo;
        undo.drops = true;
        undo.names = named;
        return undo;
    }
};

}  // namespace lariat
