// An echo server on libuv. What is read is written at once where the socket takes it; only what it
// leaves is copied, and nothing more is read from that client until it is gone.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <uv.h>

enum { buffer_bytes = 64 * 1024, backlog = 4096 };

static char buffer[buffer_bytes];  // one for all: a read is echoed before the next begins

struct rest {
    uv_write_t request;
    char bytes[];
};

static void lend_buffer(uv_handle_t* client, size_t suggested, uv_buf_t* lent) {
    (void)client;
    (void)suggested;
    *lent = uv_buf_init(buffer, buffer_bytes);
}

static void forget(uv_handle_t* client) { free(client); }

static void end(uv_stream_t* client) {
    if (!uv_is_closing((uv_handle_t*)client)) uv_close((uv_handle_t*)client, forget);
}

static void echo(uv_stream_t* client, ssize_t length, const uv_buf_t* read);

static void rest_written(uv_write_t* request, int status) {
    uv_stream_t* client = request->handle;
    free(request);
    if (status < 0) {
        end(client);
    } else {
        uv_read_start(client, lend_buffer, echo);
    }
}

static void write_rest(uv_stream_t* client, const char* bytes, size_t length) {
    struct rest* left = malloc(sizeof *left + length);
    if (left == NULL) return end(client);
    memcpy(left->bytes, bytes, length);
    const uv_buf_t what = uv_buf_init(left->bytes, (unsigned)length);
    uv_read_stop(client);
    if (uv_write(&left->request, client, &what, 1, rest_written) == 0) return;
    free(left);
    end(client);
}

static void echo(uv_stream_t* client, ssize_t length, const uv_buf_t* read) {
    if (length == 0) return;  // nothing was there after all
    if (length < 0) return end(client);
    const uv_buf_t what = uv_buf_init(read->base, (unsigned)length);
    const int sent = uv_try_write(client, &what, 1);
    if (sent < 0 && sent != UV_EAGAIN) return end(client);
    const size_t taken = sent < 0 ? 0 : (size_t)sent;
    if (taken < (size_t)length) write_rest(client, read->base + taken, (size_t)length - taken);
}

static void accept_one(uv_stream_t* listener, int status) {
    if (status < 0) return;
    uv_tcp_t* client = malloc(sizeof *client);
    if (client == NULL) return;
    uv_tcp_init(listener->loop, client);
    if (uv_accept(listener, (uv_stream_t*)client) != 0) return end((uv_stream_t*)client);
    uv_tcp_nodelay(client, 1);
    uv_read_start((uv_stream_t*)client, lend_buffer, echo);
}

static void check(int status, const char* doing) {
    if (status == 0) return;
    fprintf(stderr, "echo_libuv: %s: %s\n", doing, uv_strerror(status));
    exit(1);
}

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    signal(SIGPIPE, SIG_IGN);  // a peer that has gone is an error of one write
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);

    struct sockaddr_in address;
    check(uv_ip4_addr("127.0.0.1", atoi(argv[1]), &address), "address");
    uv_tcp_t listener;
    check(uv_tcp_init(uv_default_loop(), &listener), "socket");
    check(uv_tcp_bind(&listener, (const struct sockaddr*)&address, 0), "bind");
    check(uv_listen((uv_stream_t*)&listener, backlog, accept_one), "listen");
    return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
