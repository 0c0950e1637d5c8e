#!/usr/bin/env python3
"""Runs one of the programs and checks that it does what its first line says.

usage: run.py NAME EXECUTABLE
"""

import functools
import http.server
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time


def order(program):
    begun = time.monotonic()
    printed = subprocess.run([program], check=True, capture_output=True, text=True, timeout=30)
    took = time.monotonic() - begun
    assert printed.stdout == "1\n3\n2\n4\n", printed.stdout
    assert 2.0 <= took < 4.0, f"took {took:.2f} s"


def runs_to_its_end(program):
    subprocess.run([program], check=True, timeout=30)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def connect(port, server):
    deadline = time.monotonic() + 20
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=20)
        except ConnectionRefusedError:
            assert server.poll() is None, f"the server ended with {server.returncode}"
            assert time.monotonic() < deadline, "nobody listens"
            os.sched_yield()


def receive(client, count):
    data = b""
    while len(data) < count:
        got = client.recv(count - len(data))
        assert got, f"the stream ended after {len(data)} of {count} bytes"
        data += got
    return data


def upper_server(program):
    port = free_port()
    server = subprocess.Popen([program, str(port)])
    try:
        open_client = connect(port, server)
        with connect(port, server) as failing:  # goes with a reset, in the middle of its answer
            failing.sendall(b"x" * 500_000)
            failing.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        with connect(port, server) as client:
            sent = bytes(range(256)) * 400
            writer = threading.Thread(target=client.sendall, args=(sent,))
            writer.start()
            assert receive(client, len(sent)) == sent.upper()
            writer.join()
            client.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b""
        open_client.sendall(b"before")
        assert receive(open_client, 6) == b"BEFORE"
        server.send_signal(signal.SIGINT)
        refused = False
        deadline = time.monotonic() + 10
        while not refused and time.monotonic() < deadline:
            try:
                # The listener's backlog may still complete a handshake; nobody will answer it.
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                os.sched_yield()
            except OSError:
                refused = True
        open_client.sendall(b"after")  # open clients may finish
        assert receive(open_client, 5) == b"AFTER"
        open_client.close()
        assert server.wait(timeout=20) == 0, server.returncode
    finally:
        server.kill()
        server.wait()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass


def concurrent_fetch(program):
    with tempfile.TemporaryDirectory() as site, tempfile.TemporaryDirectory() as saved:
        names = [f"file{i}.bin" for i in range(30)]
        for i, name in enumerate(names):
            with open(os.path.join(site, name), "wb") as file:
                file.write(os.urandom(i * 3001))
        handler = functools.partial(QuietHandler, directory=site)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        urls = [f"http://127.0.0.1:{server.server_port}/{name}" for name in names]
        printed = subprocess.run([program, *urls], cwd=saved, check=True, capture_output=True,
                                 text=True, timeout=40)
        server.shutdown()
        for i, name in enumerate(names):
            with open(os.path.join(site, name), "rb") as served:
                with open(os.path.join(saved, name), "rb") as kept:
                    assert served.read() == kept.read(), name
            assert f"200 {i * 3001} bytes {urls[i]}\n" in printed.stdout, printed.stdout


def ask(port, server):
    with connect(port, server) as client:
        client.sendall(b"hello")
        assert receive(client, 5) == b"hello"


def children_of(pid):
    """All descendants: workers are children of their family's fork server. One that has ended
    meanwhile has none.
    """
    found = []
    try:
        children = open(f"/proc/{pid}/task/{pid}/children", encoding="ascii").read().split()
    except (FileNotFoundError, ProcessLookupError):
        return []
    for child in children:
        found += [int(child)] + children_of(child)
    return found


def workers(program):
    server = subprocess.Popen([program])
    try:
        ask(8080, server)
        before = children_of(server.pid)
        server.send_signal(signal.SIGHUP)  # replaces all, and everybody is served meanwhile
        while set(before[1:]) & set(children_of(server.pid)):
            ask(8080, server)
        os.kill(children_of(server.pid)[1], signal.SIGKILL)  # a crash is made good
        for _ in range(20):
            ask(8080, server)
        everybody = children_of(server.pid)
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=20) == 0, server.returncode
        for pid in everybody:
            assert not os.path.exists(f"/proc/{pid}"), f"{pid} is left"
    finally:
        server.kill()
        server.wait()


CHECKS = {
    "01_order": order,
    "02_upper_server": upper_server,
    "03_concurrent_fetch": concurrent_fetch,
    "04_producer_consumer": runs_to_its_end,
    "05_cancel_and_timeout": runs_to_its_end,
    "06_process_pool": runs_to_its_end,
    "07_ticket_rush": runs_to_its_end,
    "10_workers": workers,
}

if __name__ == "__main__":
    CHECKS[sys.argv[1]](os.path.abspath(sys.argv[2]))
