#include "driver/uring/prepare.hpp"

#include "driver/uring/abi.hpp"
#include "driver/would_block.hpp"

#include <liburing.h>
#include <poll.h>
#include <sys/socket.h>

namespace lariat::detail {

namespace {

std::uint64_t address_of(const op& from) noexcept {
    return reinterpret_cast<std::uintptr_t>(from.address);
}

void prepare_transfer(io_uring_sqe& entry, const op& from, std::uint8_t code, std::uint32_t length,
                      std::uint32_t flags) noexcept {
    entry.opcode = code;
    entry.addr = address_of(from);
    entry.len = length;
    entry.msg_flags = flags;
}

void prepare_recv(io_uring_sqe& entry, const op& from, bool multishot) noexcept {
    if (multishot) {
        entry.opcode = IORING_OP_RECV;
        entry.ioprio = IORING_RECV_MULTISHOT;
        entry.flags = IOSQE_BUFFER_SELECT;  // of buffer group 0, the only one
        entry.msg_flags = from.argument;
    } else {
        prepare_transfer(entry, from, IORING_OP_RECV, from.length, from.argument);
    }
}

void prepare_accept(io_uring_sqe& entry, const op& from, bool multishot) noexcept {
    entry.opcode = IORING_OP_ACCEPT;
    entry.accept_flags = SOCK_CLOEXEC;
    if (multishot) entry.ioprio = IORING_ACCEPT_MULTISHOT;
    if (never_waits(from)) entry.ioprio = abi::accept_without_waiting;
}

void prepare_path(io_uring_sqe& entry, const op& from, std::uint8_t code,
                  std::uint32_t flags) noexcept {
    entry.opcode = code;
    entry.addr = address_of(from);
    entry.len = from.length;
    entry.open_flags = flags;
}

void prepare_second_path(io_uring_sqe& entry, const op& from, std::uint8_t code) noexcept {
    prepare_path(entry, from, code, from.argument);
    entry.off = from.offset;
}

void prepare_futex_wait(io_uring_sqe& entry, const op& from) noexcept {
    entry.opcode = abi::op_futex_wait;
    entry.fd = abi::futex_shared_word;
    entry.addr = address_of(from);
    entry.off = from.argument;  // the kernel's addr2: the value
    entry.addr3 = abi::futex_any_wake;
}

}  // namespace

void prepare_op(io_uring_sqe& entry, const op& from, const entry_style& style) noexcept {
    entry.fd = from.fd;
    switch (from.code) {
        case op_code::nop: entry.opcode = IORING_OP_NOP; break;
        case op_code::accept:
            prepare_accept(entry, from, from.multishot && style.multishot_accept);
            break;
        case op_code::connect:
            entry.opcode = IORING_OP_CONNECT;
            entry.addr = address_of(from);
            entry.off = from.length;
            break;
        case op_code::recv:
            prepare_recv(entry, from, from.multishot && style.multishot_recv);
            break;
        case op_code::send:  // OP_WRITE would raise SIGPIPE
            prepare_transfer(entry, from, IORING_OP_SEND, from.length,
                             from.argument | MSG_NOSIGNAL);
            break;
        case op_code::recv_msg:
            prepare_transfer(entry, from, IORING_OP_RECVMSG, 1, from.argument);
            break;
        case op_code::send_msg:
            prepare_transfer(entry, from, IORING_OP_SENDMSG, 1, from.argument | MSG_NOSIGNAL);
            break;
        case op_code::read:
            prepare_transfer(entry, from, IORING_OP_READ, from.length, 0);
            entry.off = from.offset;  // op::at_position is the kernel's own -1
            if (from.offset != op::at_position) entry.rw_flags = static_cast<int>(from.argument);
            break;
        case op_code::write:
            prepare_transfer(entry, from, IORING_OP_WRITE, from.length, 0);
            entry.off = from.offset;
            if (from.offset != op::at_position)
                entry.rw_flags = static_cast<int>(from.argument);
            else if (style.quiet_writes)
                entry.rw_flags = abi::write_no_signal;
            break;
        case op_code::poll:
            entry.opcode = IORING_OP_POLL_ADD;
            entry.poll32_events = from.argument;
            break;
        case op_code::close: entry.opcode = IORING_OP_CLOSE; break;
        case op_code::futex_wait: prepare_futex_wait(entry, from); break;
        case op_code::open: prepare_path(entry, from, IORING_OP_OPENAT, from.argument); break;
        case op_code::status: prepare_second_path(entry, from, IORING_OP_STATX); break;
        case op_code::sync:
            entry.opcode = IORING_OP_FSYNC;
            entry.fsync_flags = from.argument != 0 ? IORING_FSYNC_DATASYNC : 0;
            break;
        case op_code::truncate:
            entry.opcode = abi::op_ftruncate;
            entry.off = from.offset;
            break;
        case op_code::rename: prepare_second_path(entry, from, IORING_OP_RENAMEAT); break;
        case op_code::remove: prepare_path(entry, from, IORING_OP_UNLINKAT, from.argument); break;
        case op_code::make_directory: prepare_path(entry, from, IORING_OP_MKDIRAT, 0); break;
    }
}

void prepare_readiness(io_uring_sqe& entry, const op& from) noexcept {
    const bool outward = from.code == op_code::connect || from.code == op_code::send ||
                         from.code == op_code::send_msg || from.code == op_code::write;
    entry.opcode = IORING_OP_POLL_ADD;
    entry.fd = from.fd;
    entry.poll32_events = outward ? POLLOUT : POLLIN;
}

}  // namespace lariat::detail
