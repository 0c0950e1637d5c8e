#!/usr/bin/env python3
"""Measures Lariat beside its rivals; perf/compare.sh installs and builds first, then starts this.

    run.py --build DIR [--quick] [--rows "echo 50x64*"] [--rivals "go tokio"] [--rounds N] ...
    run.py --packages [--rivals ...]   the Debian packages of each rival, a line each
    run.py --again FOLDER              tables and plots of what was measured before
"""

import argparse
import datetime
import json
import os
import pathlib
import shlex
import sys
import time

import contenders
import figures
import machine
import measure
import noise
import plan
import plots
import programs
import results
import rows
import tables

ROOT = contenders.PERF.parent
QUICK_SECONDS = 270  # the rest of five minutes is for what comes before and after


def parse(arguments):
    parser = argparse.ArgumentParser(
        prog="compare.sh", description="Lariat beside its rivals, interleaved and pinned")
    parser.add_argument("--quick", action="store_true",
                        help="a part of it: measures for less than five minutes")
    parser.add_argument("--rows", default="", help="ids or rooms, * matches: 'micro 50x64*'")
    parser.add_argument("--rivals", help="only these, by name; 'none': Lariat and the floors")
    parser.add_argument("--only", default="", help="only these contenders: 'lariat_uring go'")
    parser.add_argument("--rounds", type=int, help="of all rows (3; --quick: 2)")
    parser.add_argument("--duration", type=float, help="seconds an echo cell is measured (2)")
    parser.add_argument("--out", type=pathlib.Path, help="a folder (perf/results/<date>)")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build-perf",
                        help="where Lariat is built (build-perf)")
    parser.add_argument("--registry", type=pathlib.Path, default=contenders.REGISTRY,
                        help=argparse.SUPPRESS)
    parser.add_argument("--list", action="store_true", help="the rows and the rivals")
    parser.add_argument("--packages", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--again", type=pathlib.Path, metavar="FOLDER",
                        help="write tables and plots of an earlier run anew")
    chosen = parser.parse_args(arguments)
    chosen.build = chosen.build.resolve()  # rivals are built in folders of their own
    chosen.rounds = chosen.rounds or (2 if chosen.quick else 3)
    chosen.duration = chosen.duration or (0.6 if chosen.quick else 2.0)
    chosen.warmup = 0.2 if chosen.quick else 0.5
    names = None if chosen.rivals is None else chosen.rivals.split()
    chosen.rivals = [] if names == ["none"] else names
    try:
        chosen.rows = rows.chosen(chosen.rows.split(), chosen.quick)
    except ValueError as wrong:
        parser.error(str(wrong))
    known = [record.name for record in contenders.registered(chosen.registry)]
    for name in chosen.rivals or []:
        if name not in known:
            parser.error(f"no rival is called {name}; there are: {' '.join(known)}")
    if chosen.rounds < 1 or chosen.duration <= 0:
        parser.error("nothing to measure")
    return chosen


def list_all(chosen):
    for row in chosen.rows:
        reason = f" ({row.missing})" if row.missing else ""
        print(f"{row.id:22} {row.room:8} {row.title}{reason}")
    for record in contenders.registered(chosen.registry):
        print(f"{record.name:22} rival    {record.title}")


def list_packages(chosen):
    for record in contenders.registered(chosen.registry):
        if chosen.rivals is None or record.name in chosen.rivals:
            print(record.name, *record.packages)


def folder_for(chosen):
    """A folder that is not there yet: a second run of one day does not write over the first."""
    if chosen.out:
        chosen.out.mkdir(parents=True, exist_ok=True)
        return chosen.out
    day = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")
    for name in (day, *(f"{day}-{number}" for number in range(2, 1000))):
        folder = contenders.PERF / "results" / name
        if not folder.exists():
            folder.mkdir(parents=True)
            return folder
    raise SystemExit("perf/results is full")


def told(record):
    """A measurement, in a few words."""
    if "failed" in record:
        return f"FAILED: {record['failed']}"
    if record.get("mode") == "idle":
        text = f"{record['resident_bytes_per_connection']:,.0f} B each"
    elif "mode" in record:
        text = f"{record[rows.RATE]:,.0f}/s, {record[rows.CPU]:.3f} µs each"
    elif "value" in record:
        text = figures.number(record["value"])
    elif "of_n" in record:
        text = f"{figures.number(record['of_n'])} for n = {record['n']:,}"
    else:
        text = f"{figures.number(record['of_one_core'])} of one core"
    return text + (f"   (others: {record['foreign_share']:.0%})" if noise.is_noisy(record) else "")


class Session:
    """A run under way: keeps every record as soon as it is there."""

    def __init__(self, folder, total):
        self.total = total
        self.records = []
        self.raw = open(folder / "raw.jsonl", "w", encoding="utf-8")

    def say(self, place, job, left):
        print(f"[{place}/{self.total}, {plan.duration(left)} left] round {job.round + 1}, "
              f"{job.row.id}, {job.contender.name}: ", end="", flush=True)

    def keep(self, record):
        self.records.append(record)
        print(json.dumps(record), file=self.raw, flush=True)
        print(told(record), flush=True)


def carry_out(chosen, ahead, session, about):
    """Measures all of it; Ctrl-C ends it early, and what there is by then is written down."""
    settings = measure.Settings(str(chosen.build / "perf/load/echo_load"), chosen.duration,
                                chosen.warmup)
    # Beside the cell itself: the server's start, the connections, and the end of both.
    clock = plan.Clock(chosen.duration + chosen.warmup + 0.4)
    try:
        about["late"] = plan.execute(
            ahead, lambda job: measure.measure(job.contender, job.row, job.round, settings), clock,
            session.say, session.keep, time.monotonic, QUICK_SECONDS if chosen.quick else None)
    except KeyboardInterrupt:
        about["interrupted"] = True
        print("\ninterrupted: writing down what there is")


def write_all(folder, found):
    """The tables and the plots; returns the names of all files."""
    found.about["plots_missing"] = plots.MISSING
    drawn = plots.draw_all(folder, found)
    tables.write(folder, found, drawn)
    results.write_about(folder, found.about)
    if plots.MISSING:
        print(f"tables only: {plots.MISSING}")
    return ["results.md", "raw.jsonl", "about.json", *(f"{name}.svg" for name in drawn)]


def compare(chosen):
    """Builds the rivals, measures everything, and writes it down."""
    programs.allow_all_descriptors()
    programs.stop_on_signals()
    everybody, left_out = contenders.ready(chosen.build, chosen.rivals, chosen.registry)
    if chosen.only:
        everybody = [each for each in everybody if each.name in chosen.only.split()]
    ahead = plan.jobs(chosen.rows, everybody, chosen.rounds)
    if not ahead:
        sys.exit("nothing to measure: none of these rows exists yet")
    folder = folder_for(chosen)
    command = os.environ.get("LARIAT_COMPARE_COMMAND") or shlex.join(sys.argv)
    about = machine.describe(ROOT, chosen.build, everybody, command)
    about.update(
        rounds=chosen.rounds, duration=chosen.duration, warmup=chosen.warmup,
        rows=[row.id for row in chosen.rows], left_out=left_out,
        built_by=contenders.steps([each.name for each in everybody], chosen.registry),
        contenders=[{"name": each.name, "title": each.title, "kind": each.kind}
                    for each in everybody])
    results.write_about(folder, about)
    session = Session(folder, len(ahead))
    carry_out(chosen, ahead, session, about)
    if session.records:
        files = write_all(folder, results.Results(about, session.records))
        print(f"\n{noise.judge(session.records)[0]}\nwritten to {folder}: {', '.join(files)}")
    return 130 if about.get("interrupted") else 0


def main():
    chosen = parse(sys.argv[1:])
    if chosen.list:
        list_all(chosen)
    elif chosen.packages:
        list_packages(chosen)
    elif chosen.again:
        print(*write_all(chosen.again, results.read(chosen.again)))
    else:
        return compare(chosen)
    return 0


if __name__ == "__main__":
    sys.exit(main())
