// An echo server on libevent's bufferevents: what came in is moved to what goes out, not copied.
// evbuffers of libevent 2.1 read at most 4 KiB at a time, whatever a bufferevent is told.
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

enum { buffer_bytes = 64 * 1024, backlog = 4096 };

static void echo(struct bufferevent* client, void* unused) {
    (void)unused;
    struct evbuffer* out = bufferevent_get_output(client);
    evbuffer_add_buffer(out, bufferevent_get_input(client));
    // Nothing more is read while the peer does not take what is written.
    if (evbuffer_get_length(out) > buffer_bytes) bufferevent_disable(client, EV_READ);
}

static void all_written(struct bufferevent* client, void* unused) {
    (void)unused;
    if ((bufferevent_get_enabled(client) & EV_READ) == 0) bufferevent_enable(client, EV_READ);
}

static void ended(struct bufferevent* client, short what, void* unused) {
    (void)unused;
    if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) bufferevent_free(client);
}

static void accept_one(struct evconnlistener* listener, evutil_socket_t fd, struct sockaddr* from,
                       int length, void* unused) {
    (void)from;
    (void)length;
    (void)unused;
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct event_base* base = evconnlistener_get_base(listener);
    struct bufferevent* client = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_set_max_single_read(client, buffer_bytes);
    bufferevent_set_max_single_write(client, buffer_bytes);
    bufferevent_setcb(client, echo, all_written, ended, NULL);
    bufferevent_enable(client, EV_READ | EV_WRITE);
}

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    signal(SIGPIPE, SIG_IGN);  // a peer that has gone is an error of one write
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
        perror("echo_libevent: listen");
        return 1;
    }
    return event_base_dispatch(base);
}
