#include <lariat/base/error.hpp>

namespace lariat {

namespace {

class category final : public std::error_category {
 public:
    const char* name() const noexcept override { return "lariat"; }
    std::string message(int code) const override {
        switch (static_cast<errc>(code)) {
            case errc::timed_out: return "timed out";
            case errc::closed: return "closed";
            case errc::incomplete: return "the stream ended in the middle";
            case errc::broken: return "cut short earlier; the stream is in doubt";
            case errc::task_cancelled: return "the task was cancelled";
            case errc::limit: return "over the limit";
            case errc::full: return "the queue is full";
            case errc::empty: return "the queue is empty";
            case errc::broken_barrier: return "the barrier was aborted or reset";
        }
        return "unknown code " + std::to_string(code);
    }
};

}  // namespace

const std::error_category& lariat_category() noexcept {
    static const category instance;
    return instance;
}

timeout_error::timeout_error(const std::string& what)
    : std::system_error(make_error_code(errc::timed_out), what) {}
closed_error::closed_error(const std::string& what)
    : std::system_error(make_error_code(errc::closed), what) {}
incomplete_read::incomplete_read(const std::string& what)
    : std::system_error(make_error_code(errc::incomplete), what) {}
incomplete_read::incomplete_read(const std::string& what, std::size_t received)
    : std::system_error(make_error_code(errc::incomplete),
                        what + " (" + std::to_string(received) + " bytes had come)"),
      received_(received) {}
broken_error::broken_error(const std::string& what)
    : std::system_error(make_error_code(errc::broken), what) {}
limit_error::limit_error(const std::string& what)
    : std::system_error(make_error_code(errc::limit), what) {}
queue_full::queue_full(const std::string& what)
    : std::system_error(make_error_code(errc::full), what) {}
queue_empty::queue_empty(const std::string& what)
    : std::system_error(make_error_code(errc::empty), what) {}
broken_barrier::broken_barrier(const std::string& what)
    : std::system_error(make_error_code(errc::broken_barrier), what) {}
task_cancelled::task_cancelled(const std::string& what)
    : std::system_error(make_error_code(errc::task_cancelled), what) {}

// Out of line: the type's identity then lives in the library, once, also when it is a shared one.
timeout_error::~timeout_error() = default;
closed_error::~closed_error() = default;
incomplete_read::~incomplete_read() = default;
broken_error::~broken_error() = default;
limit_error::~limit_error() = default;
queue_full::~queue_full() = default;
queue_empty::~queue_empty() = default;
broken_barrier::~broken_barrier() = default;
task_cancelled::~task_cancelled() = default;

void throw_error(std::error_code code, const std::string& what) {
    if (code.category() != lariat_category()) throw std::system_error(code, what);
    switch (static_cast<errc>(code.value())) {
        case errc::timed_out: throw timeout_error(what);
        case errc::closed: throw closed_error(what);
        case errc::incomplete: throw incomplete_read(what);
        case errc::broken: throw broken_error(what);
        case errc::task_cancelled: throw task_cancelled(what);
        case errc::limit: throw limit_error(what);
        case errc::full: throw queue_full(what);
        case errc::empty: throw queue_empty(what);
        case errc::broken_barrier: throw broken_barrier(what);
    }
    throw std::system_error(code, what);
}

void throw_error(std::error_code code, const char* what) { throw_error(code, std::string(what)); }

}  // namespace lariat
