#!/usr/bin/python3
"""An echo server on Python's threads and blocking sockets: echo_threads.py PORT."""

import socket
import sys
import threading

import echo_common

STACK = 256 * 1024  # enough, and ten thousand of them fit


def echo(client):
    with client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while data := client.recv(echo_common.BUFFER):
                client.sendall(data)
        except ConnectionError:
            pass  # the peer has reset: this connection ends, no other


def serve(port):
    with socket.create_server(("127.0.0.1", port), backlog=echo_common.BACKLOG) as listener:
        while True:
            client, _ = listener.accept()
            threading.Thread(target=echo, args=(client,), daemon=True).start()


if __name__ == "__main__":
    echo_common.allow_all_descriptors()
    threading.stack_size(STACK)
    serve(int(sys.argv[1]))
