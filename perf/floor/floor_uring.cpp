// An echo server on bare io_uring: what the kernel's completion interface costs with nothing above
// it. One thread, one ring that only it enters, one system call a turn; accept and receive are
// armed once, and bytes are sent back from the buffer they came in.
#include <liburing.h>

#include <array>
#include <exception>
#include <vector>

#include "buffer_ring.hpp"
#include "listener.hpp"

namespace {

using floor_server::buffer_ring;

constexpr unsigned submission_entries = 4096;
constexpr unsigned completion_entries = 16384;
constexpr std::uint16_t buffers = 16;
constexpr std::uint16_t buffer_group = 0;

enum class operation : std::uint8_t { accept, receive, send, close };

struct client {
    std::vector<buffer_ring::piece> unsent;  // the first is being sent
    bool receiving = false;                  // a multishot receive is armed
    bool finished = false;                   // the peer has closed or failed
};

class uring_server {
 public:
    explicit uring_server(const floor_server::arguments& chosen)
        : ring_(make_ring()),
          buffers_(ring_, buffer_group, buffers, chosen.buffer_bytes),
          listener_(floor_server::listen_at(chosen.port, 0)) {
        accept();
    }

    [[noreturn]] void run() {
        std::array<io_uring_cqe*, 256> done;
        for (;;) {
            io_uring_submit_and_wait(&ring_, 1);
            const unsigned count = io_uring_peek_batch_cqe(&ring_, done.data(), done.size());
            for (unsigned i = 0; i < count; ++i) complete(*done[i]);
            io_uring_cq_advance(&ring_, count);
            rearm();
        }
    }

 private:
    static io_uring make_ring() {
        io_uring_params parameters{};
        parameters.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                           IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL;
        parameters.cq_entries = completion_entries;
        io_uring ring;
        const int error = io_uring_queue_init_params(submission_entries, &ring, &parameters);
        if (error < 0) throw std::system_error(-error, std::generic_category(), "io_uring_setup");
        io_uring_register_ring_fd(&ring);
        return ring;
    }

    io_uring_sqe* next_entry() {
        io_uring_sqe* entry = io_uring_get_sqe(&ring_);
        while (entry == nullptr) {
            io_uring_submit(&ring_);
            entry = io_uring_get_sqe(&ring_);
        }
        return entry;
    }

    static void mark(io_uring_sqe* entry, operation what, int fd) {
        entry->user_data = (static_cast<std::uint64_t>(fd) << 8) | static_cast<std::uint8_t>(what);
    }

    void accept() {
        io_uring_sqe* entry = next_entry();
        io_uring_prep_multishot_accept(entry, listener_, nullptr, nullptr, SOCK_CLOEXEC);
        mark(entry, operation::accept, listener_);
    }

    void receive(int fd, client& who) {
        who.receiving = true;
        io_uring_sqe* entry = next_entry();
        io_uring_prep_recv_multishot(entry, fd, nullptr, 0, 0);
        entry->flags |= IOSQE_BUFFER_SELECT;
        entry->buf_group = buffer_group;
        mark(entry, operation::receive, fd);
    }

    void send(int fd, const buffer_ring::piece& what) {
        io_uring_sqe* entry = next_entry();
        // MSG_WAITALL: the kernel itself goes on after a short send.
        io_uring_prep_send(entry, fd, what.data, what.length, MSG_WAITALL);
        mark(entry, operation::send, fd);
    }

    void close_if_done(int fd, const client& who) {
        if (!who.finished || who.receiving || !who.unsent.empty()) return;
        io_uring_sqe* entry = next_entry();
        io_uring_prep_close(entry, fd);
        entry->flags |= IOSQE_CQE_SKIP_SUCCESS;
        mark(entry, operation::close, fd);
    }

    void complete(const io_uring_cqe& completion) {
        const int fd = static_cast<int>(completion.user_data >> 8);
        switch (static_cast<operation>(completion.user_data & 0xff)) {
            case operation::accept: return accepted(completion);
            case operation::receive: return received(fd, completion);
            case operation::send: return sent(fd, completion);
            case operation::close: return;
        }
    }

    void accepted(const io_uring_cqe& completion) {
        if ((completion.flags & IORING_CQE_F_MORE) == 0) accept();
        if (completion.res < 0) return;
        const auto index = static_cast<std::size_t>(completion.res);
        if (index >= clients_.size()) clients_.resize(index + 1);
        clients_[index] = client();
        receive(completion.res, clients_[index]);
    }

    void received(int fd, const io_uring_cqe& completion) {
        client& who = clients_[static_cast<std::size_t>(fd)];
        who.receiving = (completion.flags & IORING_CQE_F_MORE) != 0;
        if (completion.res > 0) {
            who.unsent.push_back(buffers_.take(completion));
            if (who.unsent.size() == 1) send(fd, who.unsent.front());
            if (!who.receiving) starved_.push_back(fd);
        } else if (completion.res == -ENOBUFS) {
            starved_.push_back(fd);
        } else {
            who.finished = true;
            close_if_done(fd, who);
        }
    }

    void sent(int fd, const io_uring_cqe& completion) {
        client& who = clients_[static_cast<std::size_t>(fd)];
        buffers_.give_back(who.unsent.front());
        who.unsent.erase(who.unsent.begin());
        if (completion.res < 0) {
            for (const auto& each : who.unsent) buffers_.give_back(each);
            who.unsent.clear();
        }
        if (!who.unsent.empty()) send(fd, who.unsent.front());
        close_if_done(fd, who);
    }

    // Receives that ended for want of buffers start again after a turn, which has returned some.
    void rearm() {
        for (const int fd : starved_) receive(fd, clients_[static_cast<std::size_t>(fd)]);
        starved_.clear();
    }

    io_uring ring_;
    buffer_ring buffers_;
    int listener_;
    std::vector<client> clients_;  // by descriptor
    std::vector<int> starved_;
};

}  // namespace

int main(int argc, char** argv) {
    try {
        floor_server::allow_all_descriptors();
        uring_server(floor_server::arguments(argc, argv, 64 * 1024)).run();
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "floor_uring: %s\n", failure.what());
        return 1;
    }
}
