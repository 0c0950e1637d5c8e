#pragma once

#include <lariat/base/assert.hpp>
#include <lariat/base/error.hpp>
#include <lariat/base/result.hpp>
#include <lariat/net/buffer.hpp>
#include <lariat/net/read_buffer.hpp>
#include <lariat/net/verb.hpp>
#include <lariat/task/nothrow.hpp>
#include <lariat/task/task.hpp>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace lariat {

/// Reads lines, delimited stretches and exact counts from a stream, ahead of what is asked for.
///
///     lariat::buffered_reader reader(client);
///     while (auto line = co_await reader.read_line()) ...
///
/// Order        bytes come in order; one task reads at a time
/// Lifetime     borrows the stream; what was read ahead goes with the reader
/// Allocation   one buffer, which grows from 4 KiB to what a single verb needs and no further than
///              `limit`. An exact count beyond `limit` goes past it, straight to where it belongs;
///              a string grows as its bytes come, by at most `limit` (or 4 KiB) ahead of them: a
///              count that a peer has announced costs nothing before
/// Errors       the stream's; incomplete_read, with how much had come, when it ends inside what was
///              asked for; limit_error for a line or stretch of more than `limit` bytes. In every
///              case, and when cancelled, no byte is lost: what had come is still there for the
///              next verb. Of an exact count beyond `limit` the buffer then holds all of that,
///              until it was read
template <class Stream>
class buffered_reader {
 public:
    static constexpr std::size_t default_limit = 64 * 1024;

    explicit buffered_reader(Stream& stream, std::size_t limit = default_limit)
        : stream_(&stream), limit_(limit) {}

    /// Returns the next line without its "\n" or "\r\n"; a last line need not have one; empty
    /// optional at the end of the stream.
    [[nodiscard]] verb<std::optional<std::string>> read_line() {
        return {line(), "reading a line"};
    }
    /// Returns everything up to and with `delimiter`. Pre: it is not empty.
    [[nodiscard]] verb<std::string> read_until(std::string delimiter) {
        return {until(std::move(delimiter)), "reading up to a delimiter", &raise, this};
    }
    /// Fills `room` · Errors: also std::bad_alloc, when a room larger than `limit` was not filled
    /// and there is no memory to keep what had come: then only the room has it.
    [[nodiscard]] verb<void> read_exactly(mutable_bytes room) {
        return {fill(room), text_of(room.size()), &raise, this};
    }
    [[nodiscard]] verb<std::string> read_exactly(std::size_t count) {
        return {exactly(count), text_of(count), &raise, this};
    }
    /// Returns how many bytes were put into `room`: what is there; 0 at the end of the stream.
    [[nodiscard]] verb<std::size_t> read_some(mutable_bytes room) {
        return {some(room), "reading"};
    }
    /// Returns at least `count` bytes, fewer at the end of the stream, and leaves them unread.
    /// Valid until the next verb. Pre: count <= limit.
    [[nodiscard]] verb<std::string_view> peek(std::size_t count = 1) {
        return {look(count), "peeking"};
    }

    /// What was read ahead. Valid until the next verb.
    [[nodiscard]] std::string_view buffered() const noexcept { return buffer_.text(); }

 private:
    static std::string text_of(std::size_t count) {
        return "reading exactly " + std::to_string(count) + " bytes";
    }
    /// What had come is what the reader keeps.
    static void raise(std::error_code code, const std::string& what, const void* reader) {
        if (code != errc::incomplete) throw_error(code, what);
        throw incomplete_read(what, static_cast<const buffered_reader*>(reader)->buffered().size());
    }

    /// Reads once more. Returns false at the end of the stream.
    task<result<bool>> more(std::size_t at_least = 1) {
        if (buffer_.size() >= limit_) co_return make_error_code(errc::limit);
        at_least = std::min(at_least, limit_ - buffer_.size());
        const mutable_bytes room = buffer_.room(at_least, limit_);
        auto reading = stream_->read_some(room);
        const result<std::size_t> got = co_await nothrow(std::move(reading));
        if (!got) co_return got.error();
        buffer_.fill(*got);
        co_return *got != 0;
    }

    task<result<std::optional<std::string>>> line() {
        std::size_t searched = 0;
        for (;;) {
            const std::size_t end = buffer_.text().find('\n', searched);
            if (end != std::string_view::npos) {
                if (end >= limit_) co_return make_error_code(errc::limit);
                std::string found(buffer_.text().substr(0, end));
                buffer_.drop(end + 1);
                if (!found.empty() && found.back() == '\r') found.pop_back();
                co_return std::optional<std::string>(std::move(found));
            }
            searched = buffer_.size();
            const result<bool> grown = co_await more();
            if (!grown) co_return grown.error();
            if (!*grown) break;
        }
        if (buffer_.size() == 0) co_return std::optional<std::string>();
        std::string last(buffer_.text());
        buffer_.drop(last.size());
        co_return std::optional<std::string>(std::move(last));
    }

    task<result<std::string>> until(std::string delimiter) {
        detail::require(!delimiter.empty(), "read_until needs a delimiter of at least one byte");
        std::size_t searched = 0;
        for (;;) {
            const std::size_t at = buffer_.text().find(delimiter, searched);
            if (at != std::string_view::npos) {
                if (at + delimiter.size() > limit_) co_return make_error_code(errc::limit);
                std::string found(buffer_.text().substr(0, at + delimiter.size()));
                buffer_.drop(found.size());
                co_return found;
            }
            // The delimiter may begin in what is here and end in what comes.
            const std::size_t size = buffer_.size();
            searched = size >= delimiter.size() ? size - delimiter.size() + 1 : 0;
            const result<bool> grown = co_await more();
            if (!grown) co_return grown.error();
            if (!*grown) co_return make_error_code(errc::incomplete);
        }
    }

    /// Reads on until so much is in the buffer. Pre: count <= limit, or it is there.
    task<result<void>> gather(std::size_t count) {
        while (buffer_.size() < count) {
            const result<bool> grown = co_await more(count - buffer_.size());
            if (!grown) co_return grown.error();
            if (!*grown) co_return make_error_code(errc::incomplete);
        }
        co_return result<void>();
    }

    [[nodiscard]] bool fits(std::size_t count) const noexcept {
        return count <= std::max(limit_, buffer_.size());
    }
    static std::error_code why_no_more(const result<std::size_t>& got) noexcept {
        if (!got) return got.error();
        return *got == 0 ? make_error_code(errc::incomplete) : std::error_code();
    }

    task<result<std::string>> exactly(std::size_t count) {
        if (!fits(count)) co_return co_await exactly_beyond(count);
        const result<void> there = co_await gather(count);
        if (!there) co_return there.error();
        std::string found(buffer_.text().substr(0, count));
        buffer_.drop(count);
        co_return found;
    }

    /// If it is cut or breaks off, the string it has begun becomes the buffer.
    task<result<std::string>> exactly_beyond(std::size_t count) {
        std::string found = buffer_.take_all();
        std::size_t have = found.size();
        std::error_code failed;
        try {
            while (have < count && !failed) {
                if (have == found.size()) found.resize(have + std::min(count - have, ahead()));
                auto reading = stream_->read_some(mutable_bytes(found).after(have));
                const result<std::size_t> got = co_await nothrow(std::move(reading));
                failed = why_no_more(got);
                if (!failed) have += *got;
            }
        } catch (...) {
            buffer_.adopt(std::move(found), have);
            throw;
        }
        if (!failed) co_return found;
        buffer_.adopt(std::move(found), have);
        co_return failed;
    }
    [[nodiscard]] std::size_t ahead() const noexcept {
        return std::max(limit_, detail::read_buffer::first_bytes);
    }

    task<result<void>> fill(mutable_bytes room) {
        if (!fits(room.size())) co_return co_await fill_beyond(room);
        const result<void> there = co_await gather(room.size());
        if (there) buffer_.take(room);
        co_return there;
    }

    /// If it is cut or breaks off, what had come is copied back.
    task<result<void>> fill_beyond(mutable_bytes room) {
        std::size_t have = buffer_.take(room);
        std::error_code failed;
        try {
            while (have < room.size() && !failed) {
                auto reading = stream_->read_some(room.after(have));
                const result<std::size_t> got = co_await nothrow(std::move(reading));
                failed = why_no_more(got);
                if (!failed) have += *got;
            }
        } catch (...) {
            put_back(room, have);
            throw;
        }
        if (failed) put_back(room, have);
        co_return failed;
    }
    void put_back(mutable_bytes room, std::size_t have) {
        buffer_.adopt(std::string(reinterpret_cast<const char*>(room.data()), have), have);
    }

    task<result<std::size_t>> some(mutable_bytes room) {
        if (buffer_.size() == 0) {
            auto reading = stream_->read_some(room);
            const result<std::size_t> got = co_await nothrow(std::move(reading));
            co_return got;
        }
        co_return buffer_.take(room);
    }

    task<result<std::string_view>> look(std::size_t count) {
        detail::require(count <= limit_, "peek cannot look further than the reader's limit");
        while (buffer_.size() < count) {
            const result<bool> grown = co_await more(count - buffer_.size());
            if (!grown) co_return grown.error();
            if (!*grown) break;
        }
        co_return buffer_.text();
    }

    Stream* stream_;
    std::size_t limit_;
    detail::read_buffer buffer_;
};

}  // namespace lariat
