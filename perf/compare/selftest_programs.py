"""Tests of perf/compare: programs that fail, hang and end. selftest.py runs them."""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
import unittest

import programs

HERE = pathlib.Path(__file__).resolve().parent


class Programs(unittest.TestCase):
    def test_a_program_that_fails_tells_its_last_line(self):
        with self.assertRaisesRegex(programs.Failed, "exit status 3: the reason"):
            programs.run(["sh", "-c", "echo before >&2; echo the reason >&2; exit 3"], "0", 20)

    def test_a_program_that_hangs_is_a_failure(self):
        with self.assertRaisesRegex(programs.Failed, "not done after"):
            programs.run(["tail", "-f", "/dev/null"], "0", 0.05)

    def test_a_program_ends_with_its_children(self):
        script = ["sh", "-c", "tail -f /dev/null & echo $!; wait"]
        with programs.started(script, "0", output=subprocess.PIPE) as child:
            grandchild = int(child.stdout.readline())
            self.assertEqual(len(programs.group_of(child.pid)), 2)
            self.assertGreater(programs.peak_bytes([grandchild]), 0)
        self.assertIsNotNone(child.returncode)
        self.assertTrue(soon(lambda: not is_alive(grandchild)))

    def test_a_program_that_is_not_there_is_a_failure(self):
        with self.assertRaises(programs.Failed):
            programs.run(["/no/such/program"], "0", 20)


def is_alive(process):
    """A child that was orphaned may be a zombie until whoever adopts it looks."""
    try:
        text = pathlib.Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] not in "ZX"


def arguments(process):
    """Those a process was started with, its program first; none if it has gone."""
    try:
        text = pathlib.Path(f"/proc/{process}/cmdline").read_text(encoding="utf-8")
    except OSError:
        return []
    return text.split("\0")


def soon(condition):
    """Whether it comes true; a test that fails takes this long."""
    until = time.monotonic() + 20
    while not condition() and time.monotonic() < until:
        os.sched_yield()
    return condition()


SERVER = """
import socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[-1])))
clients = []
while True:
    clients.append(listener.accept())
"""
HANGING = """
import pathlib, sys
sys.path.insert(0, {here!r})
import programs
programs.stop_on_signals()
with programs.started([sys.executable, {server!r}, "0"], "0") as child:
    print(child.pid, flush=True)
    child.wait()
"""


class Endings(unittest.TestCase):
    def test_servers_end_with_the_run_however_it_is_ended(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            with tempfile.TemporaryDirectory() as folder:
                server = pathlib.Path(folder) / "server.py"
                server.write_text(textwrap.dedent(SERVER), encoding="utf-8")
                text = HANGING.format(here=str(HERE), server=str(server))
                with subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE,
                                      stderr=subprocess.DEVNULL, text=True) as runner:
                    child = int(runner.stdout.readline())
                    # Not while it is still setpriv, which has yet to ask for the death signal.
                    self.assertTrue(soon(lambda: arguments(child)[1:2] == [str(server)]))
                    os.kill(runner.pid, number)
                    runner.wait()
                    self.assertTrue(soon(lambda: not is_alive(child)), number)


if __name__ == "__main__":
    unittest.main()
