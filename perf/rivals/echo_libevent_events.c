// An echo server on libevent's plain events, with reads and writes of its own: what its
// bufferevents cannot, 64 KiB at a time. Level-triggered; what the socket does not take is kept,
// and that client is watched for room only until it is gone.
#include <errno.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { buffer_bytes = 64 * 1024, backlog = 4096 };

static char buffer[buffer_bytes];  // one for all: a read is echoed before the next begins

struct client {
    struct event* readable;
    struct event* writable;
    char* rest;
    size_t rest_length;
    size_t rest_sent;
};

static void end(struct client* who) {
    const int fd = event_get_fd(who->readable);
    event_free(who->readable);
    event_free(who->writable);
    close(fd);
    free(who->rest);
    free(who);
}

static void keep_rest(struct client* who, const char* bytes, size_t length) {
    who->rest = malloc(length);
    if (who->rest == NULL) return end(who);
    memcpy(who->rest, bytes, length);
    who->rest_length = length;
    who->rest_sent = 0;
    event_del(who->readable);
    event_add(who->writable, NULL);
}

static void echo(evutil_socket_t fd, short what, void* of) {
    (void)what;
    struct client* who = of;
    const ssize_t length = recv(fd, buffer, buffer_bytes, 0);
    if (length < 0 && errno == EAGAIN) return;
    if (length <= 0) return end(who);
    const ssize_t sent = send(fd, buffer, (size_t)length, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) return end(who);
    const size_t taken = sent < 0 ? 0 : (size_t)sent;
    if (taken < (size_t)length) keep_rest(who, buffer + taken, (size_t)length - taken);
}

static void send_rest(evutil_socket_t fd, short what, void* of) {
    (void)what;
    struct client* who = of;
    const ssize_t sent =
        send(fd, who->rest + who->rest_sent, who->rest_length - who->rest_sent, MSG_NOSIGNAL);
    if (sent < 0 && errno == EAGAIN) return;
    if (sent < 0) return end(who);
    who->rest_sent += (size_t)sent;
    if (who->rest_sent < who->rest_length) return;
    free(who->rest);
    who->rest = NULL;
    event_del(who->writable);
    event_add(who->readable, NULL);
}

static void accept_one(struct evconnlistener* listener, evutil_socket_t fd, struct sockaddr* from,
                       int length, void* unused) {
    (void)from;
    (void)length;
    (void)unused;
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct event_base* base = evconnlistener_get_base(listener);
    struct client* who = calloc(1, sizeof *who);
    who->readable = event_new(base, fd, EV_READ | EV_PERSIST, echo, who);
    who->writable = event_new(base, fd, EV_WRITE | EV_PERSIST, send_rest, who);
    event_add(who->readable, NULL);
}

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);

    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((unsigned short)atoi(argv[1])),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct event_base* base = event_base_new();
    struct evconnlistener* listener =
        evconnlistener_new_bind(base, accept_one, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE,
                                backlog, (struct sockaddr*)&address, sizeof address);
    if (listener == NULL) {
        perror("echo_libevent_events: listen");
        return 1;
    }
    return event_base_dispatch(base);
}
