#!/usr/bin/env python3
"""What perf measures of processes in Python, in short form: every rival runs.

    process_scripts.py PERF_PROCESS_FOLDER
"""

import importlib
import json
import subprocess
import sys
import unittest

FOLDER = sys.argv.pop()
sys.path.insert(0, FOLDER)
python_rival = importlib.import_module("python_rival")


class Rivals(unittest.TestCase):
    def test_every_rival_gives_a_figure(self):
        names = list(python_rival.RIVALS)
        command = [sys.executable, f"{FOLDER}/python_rival.py", "--short", *names]
        done = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE)
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([row["name"] for row in rows], names)
        for row in rows:
            self.assertGreater(row["value"], 0, row)

    def test_a_name_that_is_none_is_refused(self):
        command = [sys.executable, f"{FOLDER}/python_rival.py", "Pool.fly"]
        done = subprocess.run(command, text=True, capture_output=True)
        self.assertEqual(done.returncode, 2)
        self.assertIn("no such rival: Pool.fly", done.stderr)


if __name__ == "__main__":
    unittest.main()
