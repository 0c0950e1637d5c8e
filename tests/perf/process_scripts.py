#!/usr/bin/env python3
"""What perf measures of processes, in short form: every rival runs, and the table is right.

    process_scripts.py PERF_PROCESS_FOLDER
"""

import contextlib
import importlib
import io
import json
import subprocess
import sys
import unittest

FOLDER = sys.argv.pop()
sys.path.insert(0, FOLDER)
side_by_side = importlib.import_module("side_by_side")
python_rival = importlib.import_module("python_rival")


def ours(name, median, target=0):
    return {name: {"name": name, "unit": "us", "target": target, "median": median}}


def theirs(name, value):
    return {name: {"name": name, "unit": "us", "value": value}}


def printed(results):
    with contextlib.redirect_stdout(io.StringIO()) as text:
        side_by_side.print_table(results)
    return [[part.strip() for part in line.strip("|").split("|")]
            for line in text.getvalue().splitlines()]


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

    def test_what_is_held_against_a_rival_names_one_that_there_is(self):
        for cell in side_by_side.CELLS:
            for name in cell.rivals:
                self.assertIn(name, python_rival.RIVALS)
            self.assertIn(cell.part, cell.ours)


class Table(unittest.TestCase):
    def test_a_ratio_is_taken_within_a_round(self):
        cell = side_by_side.Cell("run", ["Pool.apply"])
        rounds = [(ours("run", mine, 25), theirs("Pool.apply", other))
                  for mine, other in [(10, 100), (20, 40), (90, 300)]]
        _, _, mine, other = printed([(cell, rounds)])
        self.assertEqual(mine, ["run", "us", "20", "", "25", "reached"])
        self.assertEqual(other[2:4], ["100", "0.3 (0.1–0.5)"])

    def test_a_target_beside_a_floor_is_judged_by_the_floor_of_the_same_round(self):
        cell = side_by_side.Cell("pipe", ["Pipe"], "p", "floor: a socket", 1.1)
        rounds = [({**ours("floor: a socket", floor), **ours("pipe", mine, 1)}, theirs("Pipe", 80))
                  for floor, mine in [(10, 10.5), (50, 54), (20, 30)]]
        _, _, floor, mine, _ = printed([(cell, rounds)])
        self.assertEqual(floor[2:], ["20", "", "", ""])
        self.assertEqual(mine[2:], ["30", "1.08 (1.05–1.5)", "1.1 × floor", "reached"])


if __name__ == "__main__":
    unittest.main()
