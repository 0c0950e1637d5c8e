#include <lariat/process/pipe.hpp>

#include <lariat/base/error.hpp>
#include <lariat/task/nothrow.hpp>
#include <lariat/task/timeout.hpp>

#include <stdexcept>
#include <utility>

namespace lariat {

std::optional<std::string> pipe_bytes_awaiter::await_resume() {
    const lariat::result<bool> ended = message_wait::finish_nothrow();
    std::optional<std::string> taken;
    if (unless(ended)) taken = take_text();
    return taken;
}

lariat::result<std::optional<std::string>> pipe_bytes_awaiter::finish_nothrow() {
    const lariat::result<bool> ended = message_wait::finish_nothrow();
    if (!ended) return ended.error();
    std::optional<std::string> taken;
    if (*ended) taken = take_text();
    return taken;
}

std::optional<std::size_t> pipe_into_awaiter::await_resume() {
    const lariat::result<bool> ended = message_wait::finish_nothrow();
    std::optional<std::size_t> taken;
    if (unless(ended)) taken = take_into(room_);
    return taken;
}

lariat::result<std::optional<std::size_t>> pipe_into_awaiter::finish_nothrow() {
    const lariat::result<bool> ended = message_wait::finish_nothrow();
    if (!ended) return ended.error();
    std::optional<std::size_t> taken;
    if (*ended) taken = take_into(room_);
    return taken;
}

namespace detail {

namespace {

// The wait has a reference of its own: the end may be moved meanwhile.
task<bool> poll_for(message_wait wait, duration longest) {
    const bool at_once = wait.ready_now();
    if (at_once || longest <= duration::zero()) co_return at_once;
    const lariat::result<bool> waited = co_await nothrow(timeout(longest, std::move(wait)));
    co_return waited.error() != errc::timed_out;  // whatever else there is, recv tells
}

}  // namespace

any_pipe_end::any_pipe_end(parcel_reader& from) {
    std::uint8_t direction = 0;
    from.take(&direction, sizeof direction, typeid(any_pipe_end));
    if (direction > static_cast<std::uint8_t>(way::sends))
        from.refuse(typeid(any_pipe_end), "a pipe goes no such way");
    way_ = static_cast<way>(direction);
    stream_ = message_stream::unpack_from(from);
}

void any_pipe_end::pack_end(parcel_writer& to) {
    to.append(&way_, sizeof way_);
    std::move(stream_).pack_into(to);
}

const message_stream& any_pipe_end::sender() const {
    if (way_ == way::receives)
        throw std::logic_error(
            "lariat: the first end of a one-way pipe receives; send through the second");
    return stream_;
}

message_state* any_pipe_end::receiver() const {
    if (way_ == way::sends)
        throw std::logic_error(
            "lariat: the second end of a one-way pipe sends; receive from the first");
    return stream_.state();
}

message_send any_pipe_end::send_bytes(bytes message) const { return sender().send_bytes(message); }

pipe_bytes_awaiter any_pipe_end::recv_bytes(std::size_t most) const {
    return pipe_bytes_awaiter(receiver(), most);
}

pipe_into_awaiter any_pipe_end::recv_into(mutable_bytes room) const { return {receiver(), room}; }

task<bool> any_pipe_end::poll(duration longest) const {
    return poll_for(message_wait(receiver()), longest);
}

void any_pipe_end::send_bytes_blocking(bytes message, std::source_location where) const {
    sender().send_bytes_blocking(message, where);
}

std::optional<std::string> any_pipe_end::recv_bytes_blocking(std::size_t most,
                                                             std::source_location where) const {
    pipe_bytes_awaiter wait(receiver(), most);
    (void)message_stream::wait_blocking(wait, forever, "recv_bytes_blocking",
                                        "co_await x.recv_bytes()", where);
    return wait.await_resume();
}

std::optional<std::size_t> any_pipe_end::recv_into_blocking(mutable_bytes room,
                                                            std::source_location where) const {
    pipe_into_awaiter wait(receiver(), room);
    (void)message_stream::wait_blocking(wait, forever, "recv_into_blocking",
                                        "co_await x.recv_into(room)", where);
    return wait.await_resume();
}

bool any_pipe_end::poll_blocking(duration longest, std::source_location where) const {
    message_wait wait(receiver());
    return message_stream::wait_blocking(wait, saturating_add(clock::now(), longest),
                                         "poll_blocking", "co_await x.poll(t)", where);
}

}  // namespace detail
}  // namespace lariat
