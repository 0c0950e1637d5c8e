#include <lariat/offload/subprocess.hpp>

#include <lariat/base/assert.hpp>
#include <lariat/base/error.hpp>
#include <lariat/offload/blocking.hpp>
#include <lariat/task/gather.hpp>
#include <lariat/task/nothrow.hpp>

#include "offload/child_process.hpp"
#include "offload/subprocess_launch.hpp"

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <system_error>

namespace lariat {

namespace detail {

subprocess_ref::subprocess_ref(const subprocess_ref& other) noexcept : child_(other.child_) {
    if (child_ != nullptr) child_->add_ref();
}

void subprocess_ref::drop() noexcept { child_->drop_ref(); }

const wait_kind subprocess_wait::kind_of_wait{"a subprocess to end", &wait_queue::leave};

bool subprocess_wait::must_wait() noexcept {
    require(static_cast<bool>(child_), "an empty subprocess has nothing to wait for");
    if (child_->ended) return false;
    require(child_->home == this_scheduler,
            "a subprocess belongs to the loop that it was started on");
    child_->waiters.add(*this);
    return true;
}

lariat::result<int> subprocess_wait::finish_nothrow() {
    throw_if_cut();
    if (child_->error != 0) return system_code(-child_->error);
    return child_->code;
}

}  // namespace detail

subprocess::subprocess(detail::launched_child& started, const subprocess_options& options)
    : output_limit_(options.output_limit), takes_input_(options.input.what() == stdio::kind::pipe) {
    if (started.input) input_ = pipe_writer(std::move(started.input), true);
    if (started.output) output_ = pipe_reader(std::move(started.output), true);
    if (started.errors) errors_ = pipe_reader(std::move(started.errors), true);
    child_ = detail::subprocess_ref(new detail::child_process(started, options));
    child_->watch();
}

subprocess& subprocess::operator=(subprocess&& other) noexcept {
    subprocess taken(std::move(other));
    std::swap(child_, taken.child_);  // what was here is ended
    std::swap(input_, taken.input_);
    std::swap(output_, taken.output_);
    std::swap(errors_, taken.errors_);
    std::swap(output_limit_, taken.output_limit_);
    std::swap(takes_input_, taken.takes_input_);
    return *this;
}

subprocess::~subprocess() {
    if (child_) child_->abandon();
}

task<subprocess> subprocess::start(subprocess_options options) {
    detail::launch_plan plan(options);
    if (options.parent_death_signal != 0) {
        // It is the end of the thread that counts (prctl(2)), and a pool's comes soon.
        detail::launched_child started = plan.launch();
        co_return subprocess(started, options);
    }
    auto launch = [&plan] { return plan.launch(); };
    detail::launched_child started = co_await detail::run_blocking(launch);
    co_return subprocess(started, options);
}

int subprocess::pid() const noexcept {
    detail::require(static_cast<bool>(child_), "an empty subprocess has no pid");
    return child_->pid;
}

std::optional<int> subprocess::exit_code() const {
    detail::require(static_cast<bool>(child_), "an empty subprocess has no exit code");
    if (!child_->ended) return std::nullopt;
    if (child_->error != 0) throw_error(system_code(-child_->error), "a subprocess's exit code");
    return child_->code;
}

bool subprocess::send_signal(int number) {
    detail::require(static_cast<bool>(child_), "an empty subprocess gets no signals");
    return child_->send_signal(number);
}

task<int> subprocess::stop() {
    detail::require(static_cast<bool>(child_), "an empty subprocess cannot be stopped");
    if (const int refused = child_->ask_to_end(); refused != 0)
        throw_error(system_code(-refused), "stopping process " + std::to_string(child_->pid));
    const int code = co_await wait();
    co_return code;
}

namespace {

/// What a child does not take of its input is its own affair.
task<> feed(pipe_writer& to, std::string_view text) {
    if (!to) co_return;
    auto writing = to.write_all(text);
    const result<void> written = co_await nothrow(std::move(writing));
    to.close();
    if (!written && written.error() != std::errc::broken_pipe)
        throw_error(written.error(), "writing a subprocess's input");
}

task<std::string> drain(pipe_reader& from, std::size_t limit, const char* what) {
    constexpr std::size_t most_at_once = 64 * 1024;  // what a pipe holds: pipe(7)
    std::string text;
    std::size_t have = 0;
    while (from) {
        if (text.size() - have < most_at_once) text.resize(std::max(2 * have, have + most_at_once));
        const std::size_t got =
            co_await from.read_some(mutable_bytes(text.data() + have, text.size() - have));
        if (got == 0) break;
        have += got;
        if (have > limit)
            throw limit_error(std::string("a subprocess's ") + what + ", of " +
                              std::to_string(limit) + " bytes at most");
    }
    text.resize(have);
    co_return text;
}

}  // namespace

task<program_result> subprocess::communicate(std::string text) {
    detail::require(text.empty() || takes_input_,
                    "communicate(text) needs options.input = stdio::pipe()");
    if (!text.empty() && !input_)
        throw closed_error("communicate(text): the input of process " +
                           std::to_string(child_->pid) + ", closed before,");
    auto said = co_await gather(feed(input_, text), drain(output_, output_limit_, "output"),
                                drain(errors_, output_limit_, "errors"));
    program_result ended;
    ended.output = std::move(std::get<1>(said));
    ended.errors = std::move(std::get<2>(said));
    ended.exit_code = co_await wait();
    co_return ended;
}

task<program_result> run_program(subprocess_options options, std::string text) {
    using kind = stdio::kind;
    if (options.input.what() == kind::unsaid)
        options.input = text.empty() ? stdio::null() : stdio::pipe();
    if (options.output.what() == kind::unsaid) options.output = stdio::pipe();
    if (options.errors.what() == kind::unsaid) options.errors = stdio::pipe();
    subprocess program = co_await subprocess::start(std::move(options));
    program_result ended = co_await program.communicate(std::move(text));
    co_return ended;
}

task<program_result> run_program(std::vector<std::string> argv, std::string text) {
    return run_program(subprocess_options(std::move(argv)), std::move(text));
}

}  // namespace lariat
