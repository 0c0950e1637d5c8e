#!/usr/bin/python3
"""An echo server on gevent, a greenlet a client: echo_gevent.py PORT."""

import sys

from gevent.server import StreamServer
from gevent.socket import IPPROTO_TCP, TCP_NODELAY

import echo_common


def echo(client, _):
    client.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
    try:
        while data := client.recv(echo_common.BUFFER):
            client.sendall(data)
    except ConnectionError:
        pass  # the peer has reset: this connection ends, no other


if __name__ == "__main__":
    echo_common.allow_all_descriptors()
    at = ("127.0.0.1", int(sys.argv[1]))
    StreamServer(at, echo, backlog=echo_common.BACKLOG).serve_forever()
