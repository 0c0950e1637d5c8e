"""What the rivals' rows in Python share: PROGRAM [--uvloop] ROW runs that row and prints JSON."""

import json
import os
import random
import sys
import time

ROWS = {}


def row(name, unit, n=None, warm=True):
    """Registers what measures a row. `n`: how many, where it is not what the row's name says;
    `warm`: it runs once before it counts."""

    def add(measure):
        ROWS[name] = (measure, unit, n, warm)
        return measure

    return add


class Watch:
    """The time since it was made: CPU time, or as it passes."""

    def __init__(self, clock=time.process_time):
        self.clock = clock
        self.begun = clock()

    def seconds(self):
        return self.clock() - self.begun

    def each(self, operations, unit=1e9):
        return self.seconds() / operations * unit


def wall():
    return Watch(time.perf_counter)


def resident_bytes():
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def naps(count):
    """Lengths of sleeps, 0 to 100 ms at random, always the same."""
    chance = random.Random(1)
    return [chance.random() / 10 for _ in range(count)]


def pin(core):
    """The thread that calls."""
    os.sched_setaffinity(0, {core})


def main(run=lambda measure: measure()):
    name = sys.argv[-1]
    if name not in ROWS:
        sys.exit(f"usage: {sys.argv[0]} ROW, one of: " + " ".join(ROWS))
    measure, unit, n, warm = ROWS[name]
    if warm:
        run(measure)
    line = {"row": name, "value": run(measure), "unit": unit}
    if n:
        line["n"] = n
    print(json.dumps(line))
