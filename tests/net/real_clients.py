"""Drives the example servers with other people's clients: real_clients.py ECHO_SERVER UPPER_SERVER

nc, socat and 500 Python threads talk to each server; every byte of every answer is checked, and
then that the server's descriptors are back to what they were and that SIGTERM ends it well.
"""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading

LIMIT = 60  # seconds for any one step
THREADS = 500
ROUNDS = 4
failures = []


def expect(holds, what):
    if not holds:
        failures.append(what)
        print(f"not so: {what}", flush=True)


class Server:
    """One example server on a port of the system's choice, and what it should answer."""

    def __init__(self, program, answer):
        self.name = os.path.basename(program)
        self.answer = answer
        # pylint: disable=consider-using-with
        self.process = subprocess.Popen([program, "0"], stdout=subprocess.PIPE, text=True)
        said = self.process.stdout.readline()
        self.port = int(said.rsplit(":", 1)[1])

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT)

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def settle(self, before):
        """Waits, by asking, until no more descriptors are open than before."""
        for _ in range(1000):
            with self.connect() as asks:
                asks.sendall(b"x")
                asks.recv(1)
            if self.descriptors() <= before + 1:  # the one that asked may still be closing
                return True
        return False

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        rest = self.process.communicate(timeout=LIMIT)[0]
        expect(self.process.returncode == 0, f"{self.name} ends with 0 after SIGTERM")
        expect("stopped" in rest, f"{self.name} says that it stopped")


def random_text(size, seed):
    letters = random.Random(seed)
    return bytes(letters.choice(b"abcdefghijklmnopqrstuvwxyz0123456789\n") for _ in range(size))


def talk(server, seed, wrong):
    draw = random.Random(seed)
    try:
        with server.connect() as stream:
            for _ in range(ROUNDS):
                text = random_text(draw.randrange(1, 2000), draw.random())
                stream.sendall(text)
                back = b""
                while len(back) < len(text):
                    part = stream.recv(65536)
                    if not part:
                        break
                    back += part
                if back != server.answer(text):
                    wrong.append(seed)
                    return
            if seed % 3 == 0:
                return  # closes with nothing more said
            stream.shutdown(socket.SHUT_WR)
            if stream.recv(1) != b"":
                wrong.append(seed)
    except OSError as error:
        wrong.append(f"{seed}: {error}")


def python_threads(server):
    wrong = []
    threads = [threading.Thread(target=talk, args=(server, i, wrong)) for i in range(THREADS)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    expect(not wrong, f"{server.name} answers {THREADS} threads right; wrong: {wrong[:5]}")


def command_line(server, command):
    if shutil.which(command[0]) is None:
        print(f"skipped: {command[0]} is not installed", flush=True)
        return
    text = random_text(300_000, command[0])
    ran = subprocess.run(command, input=text, capture_output=True, timeout=LIMIT, check=False)
    expect(ran.stdout == server.answer(text), f"{server.name} answers {command[0]} right")


def check(server):
    with server.connect() as first:  # what a first connection brings stays
        first.sendall(b"x")
        first.recv(1)
    server.settle(server.descriptors())
    before = server.descriptors()
    command_line(server, ["nc", "-N", "127.0.0.1", str(server.port)])
    command_line(server, ["socat", "-t", "30", "-", f"TCP:127.0.0.1:{server.port}"])
    python_threads(server)
    expect(server.settle(before), f"{server.name} has its descriptors back")
    server.stop()


def main():
    check(Server(sys.argv[1], lambda text: text))
    check(Server(sys.argv[2], bytes.upper))
    print("all right" if not failures else f"{len(failures)} failures")
    sys.exit(1 if failures else 0)


main()
