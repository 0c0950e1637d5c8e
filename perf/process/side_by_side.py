#!/usr/bin/env python3
"""Runs micro_bench's group "process" and the same work in Python, row by row, and prints a table.

    side_by_side.py MICRO_BENCH [--rounds 5] [--filter TEXT] [--out FILE]

In every round each row is measured here and there, one right after the other, before the next row
begins: what the machine does meanwhile falls on both. A ratio is taken within a round; the table
shows the median of those, and in brackets the smallest and the largest.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import typing

RIVALS = pathlib.Path(__file__).with_name("python_rival.py")


class Cell(typing.NamedTuple):
    """What is measured together."""

    ours: str  # the row of micro_bench that the rivals are held against
    rivals: list  # what python_rival.py calls them
    part: str = ""  # of the names of micro_bench's rows, if there are others
    floor: str = ""  # the row among these that says what the system takes
    within: float = 0  # the target: so many times the floor; 0: what micro_bench says


def pipe(cores):
    ours = f"pipe<T> round trip, {cores}"
    floor = f"floor: socketpair round trip, {cores}"
    return Cell(ours, [f"Pipe, {cores}"], f"round trip, {cores}", floor, 1.1)


def start(parent):
    name = f"rocess start + join, {parent}"
    return Cell("p" + name, ["P" + name], parent, f"floor: fork + waitpid, {parent}")


SUM = "300 x 10^6 additions: "
NAP = "1,000 sleepers of 2 s: "

CELLS = [
    Cell("process_pool: run, there and back", ["Pool.apply", "ProcessPoolExecutor.submit"]),
    Cell("process_pool: map an item, automatic chunks", ["Pool.map"]),
    Cell("process_pool: map an item, chunks of 1", ["Pool.map, chunksize=1"]),
    Cell("shm::queue, per item, between tasks of two processes", ["Queue, per item"]),
    Cell("shm::queue ping-pong, tasks of two processes", ["Queue, there and back"]),
    pipe("two cores"),
    pipe("one core"),
    Cell("shm::mutex uncontended", ["Lock, uncontended"]),
    Cell("shm::mutex contended, tasks of two processes", ["Lock, contended"]),
    start("small parent"),
    start("256 MiB parent"),
    Cell("managed_dict set, one at a time", ["Manager().dict() set"]),
    Cell("managed_dict get, one at a time", ["Manager().dict() get"]),
    Cell("managed_dict set, 64 at a time", ["Manager().dict() set"]),
    Cell("managed_dict get, 64 at a time", ["Manager().dict() get"]),
    Cell("manager: a method, one at a time", ["BaseManager, a method"]),
    Cell("managed_mutex lock and unlock, one at a time", ["Manager().Lock()"]),
    Cell(SUM + "one core", ["additions: one core"]),
    Cell(SUM + "300 threads", ["additions: threads"]),
    Cell(SUM + "300 processes", ["additions: processes"]),
    Cell(SUM + "process_pool(2)", ["additions: Pool(2)"]),
    Cell(NAP + "tasks in one process", ["sleepers: asyncio", "sleepers: threads"]),
    Cell(NAP + "tasks in 2 processes", ["sleepers: asyncio in 2 processes",
                                        "sleepers: processes"]),
]


def measure_ours(bench, part):
    """{name: row} of one run of micro_bench."""
    with tempfile.NamedTemporaryFile(suffix=".json") as told:
        command = [bench, "--group", "process", "--filter", part, "--repeats", "1"]
        subprocess.run(command + ["--json", told.name], check=True, stdout=subprocess.DEVNULL)
        rows = json.load(open(told.name, encoding="utf-8"))
    return {row["name"]: row for row in rows}


def measure_rivals(names):
    """{name: row} of one run of each."""
    done = subprocess.run([sys.executable, str(RIVALS), *names], check=True, text=True,
                          stdout=subprocess.PIPE)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return {row["name"]: row for row in rows}


def measure(bench, cells, rounds, keep):
    """[(cell, [(ours, rivals) of each round])]"""
    results = [(cell, []) for cell in cells]
    for number in range(rounds):
        for cell, found in results:
            ours, rivals = measure_ours(bench, cell.part or cell.ours), measure_rivals(cell.rivals)
            if cell.ours not in ours:
                sys.exit(f"micro_bench has no row {cell.ours!r}")
            found.append((ours, rivals))
            if keep:
                line = {"round": number, "cell": cell.ours, "ours": ours, "rivals": rivals}
                print(json.dumps(line), file=keep, flush=True)
    return results


def median(values):
    return f"{statistics.median(values):.4g}"


def ratios(pairs):
    found = [mine / other for mine, other in pairs if other > 0]
    if not found:
        return "–"
    return f"{statistics.median(found):.3g} ({min(found):.3g}–{max(found):.3g})"


def verdict(value, most):
    return "reached" if value <= most else "short"


def rows_of(cell, found):
    """The table's rows of one cell."""
    figures = {name: [ours[name]["median"] for ours, _ in found] for name in found[0][0]}
    for name, values in figures.items():
        first = found[0][0][name]
        row = [name, first["unit"], median(values), "", "", ""]
        if cell.within and name != cell.floor:
            pairs = list(zip(values, figures[cell.floor]))
            share = statistics.median(mine / floor for mine, floor in pairs)
            row[3:] = [ratios(pairs), f"{cell.within} × floor", verdict(share, cell.within)]
        elif first["target"] > 0:
            target = first["target"]
            row[4:] = [f"{target:.4g}", verdict(statistics.median(values), target)]
        yield row
    for name in cell.rivals:
        values = [rivals[name]["value"] for _, rivals in found]
        pairs = list(zip(figures[cell.ours], values))
        yield [f"Python: {name}", found[0][1][name]["unit"], median(values), ratios(pairs), "", ""]


def print_table(results):
    print("| | unit | median | Lariat's to its floor, or to this | target | |")
    print("| --- | --- | ---: | --- | --- | --- |")
    for cell, found in results:
        for row in rows_of(cell, found):
            print("| " + " | ".join(row) + " |")


def main():
    parser = argparse.ArgumentParser(description="processes: Lariat and Python, side by side")
    parser.add_argument("bench", help="the program micro_bench")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--filter", default="", help="only rows whose name contains it")
    parser.add_argument("--out", help="keep every single result, a JSON object a line")
    chosen = parser.parse_args()
    cells = [cell for cell in CELLS if chosen.filter in cell.ours]
    if not cells or chosen.rounds < 1:
        parser.error("nothing to measure")
    keep = open(chosen.out, "w", encoding="utf-8") if chosen.out else None
    print_table(measure(chosen.bench, cells, chosen.rounds, keep))


if __name__ == "__main__":
    main()
