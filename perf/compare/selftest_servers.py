"""Tests of perf/compare: servers that do not serve. selftest.py runs them."""

import json
import pathlib
import socket
import sys
import tempfile
import unittest
from unittest import mock

import contenders
import measure
import programs
import rows

GOOD = {"label": "", "mode": "echo", "connections": 1, "requests": 9, "bytes": 576, "errors": 0,
        "first_error": "", "seconds": 0.6, "server_cpu_seconds": 0.1,
        "longest_silence_seconds": 0.01}
SERVER = """
import socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[-1])))
clients = []
while True:
    clients.append(listener.accept())
"""
NO_SERVER = "import time; time.sleep(60)"


class Operations(unittest.TestCase):
    def test_a_part_of_one_cores_time_is_told_with_the_seconds_of_the_same_run(self):
        row, = rows.chosen(["cpu300_pool2"], False)
        found = [{"name": row.ours, "unit": measure.OF_ONE_CORE, "median": 0.55},
                 {"name": row.ours + measure.IN_SECONDS, "unit": "s", "median": 0.123}]
        with tempfile.TemporaryDirectory() as folder:
            bench = pathlib.Path(folder) / "bench"
            bench.write_text(f"#!/bin/sh\nfor to; do :; done\necho '{json.dumps(found)}' >$to\n",
                             encoding="utf-8")
            bench.chmod(0o755)
            contender = contenders.Contender("lariat_epoll", "L", "lariat", bench=str(bench))
            record = measure.measure(contender, row, 0, measure.Settings("no load"))
        self.assertEqual((record.get("value"), record.get("of_one_core")), (0.123, 0.55))


class Servers(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def measured(self, server, **found):
        """The record of a server, a script, where echo_load is a script that prints this."""
        load = self.folder / "load"
        load.write_text(f"#!/bin/sh\necho '{json.dumps({**GOOD, **found})}'\n", encoding="utf-8")
        load.chmod(0o755)
        contender = contenders.Contender("x", "X", "rival", (sys.executable, "-c", server))
        row, = rows.chosen(["50x64x1"], False)
        return measure.measure(contender, row, 0, measure.Settings(str(load)))

    def test_a_server_that_answers_has_figures(self):
        self.assertNotIn("failed", self.measured(SERVER))
        self.assertNotIn("failed", self.measured(SERVER, mode="idle", requests=0,
                                                 server_cpu_seconds=0.0))

    def test_a_server_that_does_not_serve_has_none_but_a_reason(self):
        for found, reason in (({"requests": 0}, "no request was answered"),
                              ({"server_cpu_seconds": 0.0}, "used no CPU time"),
                              ({"longest_silence_seconds": 0.3}, "nobody was answered for 0.3 of"),
                              ({"errors": 2, "first_error": "recv"}, "2 errors: recv")):
            self.assertIn(reason, self.measured(SERVER, **found).get("failed", ""), found)

    def test_who_answers_at_a_taken_port_is_not_measured(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with mock.patch.object(programs, "free_port", return_value=port):
                self.assertIn("somebody else listens", self.measured(NO_SERVER)["failed"])
                self.assertRegex(self.measured(SERVER)["failed"],
                                 "somebody else listens|did not start: .*in use")


if __name__ == "__main__":
    unittest.main()
