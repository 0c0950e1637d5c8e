#!/usr/bin/env python3
"""The guard reports what it is for: guard_test.py GUARD_PY GUARD_PATHS"""

import importlib.util
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

PROGRAM = sys.argv.pop()
SCRIPT = pathlib.Path(sys.argv.pop())
spec = importlib.util.spec_from_file_location("guard", SCRIPT)
guard = importlib.util.module_from_spec(spec)
spec.loader.exec_module(guard)


class Judgement(unittest.TestCase):
    def test_within_five_in_a_hundred_is_as_before(self):
        lines, well = guard.judge({"a": 104.9, "b": 95.1}, {"a": 100, "b": 100})
        self.assertTrue(well)
        self.assertEqual([line[3] for line in lines], ["as before"] * 2)

    def test_more_fails_and_less_does_not(self):
        lines, well = guard.judge({"a": 105.1, "b": 94.9}, {"a": 100, "b": 100})
        self.assertFalse(well)
        self.assertEqual([line[3] for line in lines], ["MORE than its bound", "less: --record it"])

    def test_without_a_bound_nothing_fails(self):
        lines, well = guard.judge({"a": 1000}, {"b": 1})
        self.assertTrue(well)
        self.assertEqual(lines[0][3], "no bound")


@unittest.skipUnless(shutil.which("valgrind"), "there is no valgrind")
class Whole(unittest.TestCase):
    def run_guard(self, bounds, *more):
        command = [sys.executable, str(SCRIPT), PROGRAM, "--bounds", str(bounds), *more]
        return subprocess.run(command, text=True, capture_output=True, check=False)

    def test_a_path_over_its_bound(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder, "bounds.json")
            first = self.run_guard(file, "--record", "mutex")
            self.assertEqual(first.returncode, 0, first.stderr)
            self.assertIn("no bounds are stored", first.stdout)
            again = self.run_guard(file, "mutex")
            self.assertEqual(again.returncode, 0, again.stdout)
            self.assertIn("as before", again.stdout)

            known = json.loads(file.read_text(encoding="utf-8"))
            (build,) = known
            known[build]["mutex"] *= 0.94
            file.write_text(json.dumps(known), encoding="utf-8")
            worse = self.run_guard(file, "mutex")
            self.assertEqual(worse.returncode, 1, worse.stdout)
            self.assertIn("MORE than its bound", worse.stdout)

            file.write_text(json.dumps({"another compiler": known[build]}), encoding="utf-8")
            other = self.run_guard(file, "mutex")
            self.assertEqual(other.returncode, 0, other.stdout)
            self.assertIn("no bounds are stored", other.stdout)

    def test_a_path_that_is_none_is_refused(self):
        refused = self.run_guard(pathlib.Path("none.json"), "teleport")
        self.assertEqual(refused.returncode, 2)
        self.assertIn("no such path: teleport", refused.stderr)


if __name__ == "__main__":
    unittest.main()
