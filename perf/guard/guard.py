#!/usr/bin/env python3
"""Counts the instructions that core paths take, under callgrind, and holds them against bounds.

    guard.py GUARD_PATHS [--bounds FILE] [--record] [PATH...]

A path is run with N and with 2 N operations: the difference, divided by N, is what one takes,
without what the program's start does. Nothing is timed: the figure is the same on a busy machine.
The bounds are those of a compiler's and a C library's version; of others the figures are printed,
and nothing fails. --record writes down what was counted as the bounds of this build. It ends with
1 if a path takes over five in a hundred more than its bound, and with 77 (skipped) if there is no
valgrind.
"""

import argparse
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys

BOUNDS = pathlib.Path(__file__).with_name("bounds.json")
TOLERANCE = 0.05
OPERATIONS = {"echo": 500}
OTHERWISE = 5_000
SKIPPED = 77


def ask(program, question):
    done = subprocess.run([program, question], check=True, text=True, stdout=subprocess.PIPE)
    return done.stdout.splitlines()


def count(program, path, operations):
    """The instructions of one run. io_uring does not run under valgrind."""
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null",
               program, path, str(operations)]
    done = subprocess.run(command, text=True, capture_output=True, check=False,
                          env={**os.environ, "LARIAT_BACKEND": "epoll"})
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode != 0 or not found:
        raise RuntimeError(f"{path}: {done.stderr.strip() or done.returncode}")
    return int(found[1])


def cost(program, path):
    times = OPERATIONS.get(path, OTHERWISE)
    return (count(program, path, 2 * times) - count(program, path, times)) / times


def judge(costs, bounds):
    """[(path, cost, bound or None, verdict)], and whether all is well."""
    lines = []
    for path, taken in costs.items():
        bound = bounds.get(path)
        if bound is None:
            verdict = "no bound"
        elif taken > bound * (1 + TOLERANCE):
            verdict = "MORE than its bound"
        elif taken < bound * (1 - TOLERANCE):
            verdict = "less: --record it"
        else:
            verdict = "as before"
        lines.append((path, taken, bound, verdict))
    return lines, not any(verdict.startswith("MORE") for *_, verdict in lines)


def read_bounds(file):
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def record(file, build, costs):
    known = read_bounds(file)
    known.setdefault(build, {}).update({path: round(taken, 1) for path, taken in costs.items()})
    file.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def show(build, lines, known):
    print(f"{build}: instructions an operation" + ("" if known else "; no bounds are stored"))
    for path, taken, bound, verdict in lines:
        limit = "" if bound is None else f"{bound:.1f}"
        print(f"  {path:<18}{taken:>10.1f}{limit:>10}  {verdict}")


def main():
    parser = argparse.ArgumentParser(description="instructions of core paths")
    parser.add_argument("program", help="guard_paths")
    parser.add_argument("--bounds", type=pathlib.Path, default=BOUNDS)
    parser.add_argument("--record", action="store_true")
    parser.add_argument("paths", nargs="*", metavar="PATH", help="only these")
    chosen = parser.parse_intermixed_args()
    if shutil.which("valgrind") is None:
        print("guard: there is no valgrind")
        return SKIPPED
    names = ask(chosen.program, "--list")
    unknown = [path for path in chosen.paths if path not in names]
    if unknown:
        parser.error(f"no such path: {unknown[0]}")
    build = f"{ask(chosen.program, '--build')[0]}, {platform.machine()}"
    bounds = read_bounds(chosen.bounds).get(build, {})
    costs = {path: cost(chosen.program, path) for path in chosen.paths or names}
    lines, well = judge(costs, bounds)
    show(build, lines, bool(bounds))
    if chosen.record:
        record(chosen.bounds, build, costs)
        return 0
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
