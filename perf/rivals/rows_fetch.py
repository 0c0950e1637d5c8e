#!/usr/bin/python3
"""1,000 small URLs at once, from the server by hand: rows_fetch.py SERVER aiohttp|curl ROW.

The server runs on core 1, and the client where it was put: on core 0, as in micro_bench. It has 100
connections at most. The time is from nothing, for curl its program's start, until every body is
there; each is checked.
"""

import asyncio
import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

from rows_common import wall

URLS = 1_000
CONNECTIONS = 100


def answer_to(number):
    return f"number {number}\n"


def check(number, body):
    if body != answer_to(number):
        raise RuntimeError(f"a wrong answer to /{number}: {body!r}")


@contextlib.contextmanager
def serving(program):
    """The server's address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "taskset", "-c", "1", program,
                               str(port)])
    try:
        until = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if server.poll() is not None or time.monotonic() > until:
                    raise RuntimeError("the server does not answer") from None
                time.sleep(0.02)
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.send_signal(signal.SIGKILL)
        server.wait()


async def by_aiohttp(where):
    import aiohttp  # only this rival has it

    async def fetch(session, number):
        async with session.get(f"{where}{number}") as response:
            check(number, await response.text())

    watch = wall()
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    async with aiohttp.ClientSession(connector=connector) as session:
        await asyncio.gather(*(fetch(session, number) for number in range(URLS)))
    return watch.seconds()


def by_curl(where):
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        watch = wall()
        # It shows its progress in parallel whatever it is told.
        subprocess.run(["curl", "--silent", "--fail", "--parallel", "--parallel-max",
                        str(CONNECTIONS), "--output", f"{folder}/#1", f"{where}[0-{URLS - 1}]"],
                       check=True, stderr=subprocess.DEVNULL)
        took = watch.seconds()
        for number in range(URLS):
            check(number, (pathlib.Path(folder) / str(number)).read_text(encoding="ascii"))
    return took


def main():
    server, client, row = sys.argv[1:]
    with serving(server) as where:
        once = {"aiohttp": lambda: asyncio.run(by_aiohttp(where)),
                "curl": lambda: by_curl(where)}[client]
        once()  # to warm up
        print(json.dumps({"row": row, "value": once() * 1e3, "unit": "ms"}))


if __name__ == "__main__":
    main()
