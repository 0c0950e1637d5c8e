#!/usr/bin/env python3
"""Measures Lariat beside its rivals; perf/compare.sh installs and builds first, then starts this.

    run.py --build DIR [--quick] [--rows "echo 50x64*"] [--rivals "go tokio"] [--rounds N] ...
    run.py --packages [--rivals ...]   the Debian packages of each rival, a line each
    run.py --again FOLDER              tables and plots of what was measured before
"""

import collections
import contextlib
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
import options
import plan
import plots
import programs
import results
import rows
import tables

QUICK_SECONDS = 270  # the rest of five minutes is for what comes before and after
INTERRUPTED = 130  # exit status, as of a shell
QUICK_LIMIT = 20.0  # of one measurement: who hangs must not take all of them


def list_all(chosen):
    for row in chosen.rows:
        reason = f" ({row.missing})" if row.missing else ""
        print(f"{row.id:22} {row.room:8} {row.title}{reason}")
    for record in contenders.registered(chosen.registry):
        print(f"{record.name:22} rival    {record.title}")


def list_packages(chosen):
    for record in rivals_of(chosen):
        print(record.name, *record.packages)


def rivals_of(chosen):
    return contenders.asked_for(chosen.rows, chosen.rivals, chosen.only, chosen.registry)


def folder_for(chosen):
    """A folder that is not there yet: a second run of one day does not write over the first."""
    if chosen.out:
        return chosen.out
    day = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")
    for name in (day, *(f"{day}-{number}" for number in range(2, 1000))):
        folder = contenders.PERF / "results" / name
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
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


def settings_for(chosen):
    settings = measure.Settings(str(chosen.build / "perf/load/echo_load"), chosen.duration,
                                chosen.warmup)
    return settings._replace(limit=QUICK_LIMIT) if chosen.quick else settings


def carry_out(chosen, ahead, session, about, seconds):
    """Measures all of it, or what can be in so many seconds; Ctrl-C ends it early, and what there
    is by then is written down.
    """
    settings = settings_for(chosen)
    # Beside the cell itself: the server's start, the connections, and the end of both.
    clock = plan.Clock(chosen.duration + chosen.warmup + 0.4)
    try:
        late = plan.execute(
            ahead, lambda job: measure.measure(job.contender, job.row, job.round, settings), clock,
            session.say, session.keep, time.monotonic, seconds)
        about["late"] = collections.Counter(job.row.id for job in late)
        del about["unfinished"]
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


def why_nothing(chosen, left_out):
    whys = [f"{row.id}: {row.missing}" for row in chosen.rows if row.missing]
    whys += [f"{name} is left out: {why}" for name, why in left_out.items()]
    return "nothing to measure: " + ("; ".join(whys) or "none of these does any of these rows")


def compare(chosen):
    """Builds the rivals, measures everything, and writes it down. Returns the exit status."""
    begun = time.monotonic()
    programs.allow_all_descriptors()
    programs.stop_on_signals()
    everybody, left_out, building = contenders.ready(chosen.build, rivals_of(chosen), chosen.rows,
                                                     chosen.registry)
    if chosen.only:
        everybody = [each for each in everybody if each.name in chosen.only]
    ahead = plan.jobs(chosen.rows, everybody, chosen.rounds)
    if not ahead:
        sys.exit(why_nothing(chosen, left_out))
    folder = folder_for(chosen)
    command = os.environ.get("LARIAT_COMPARE_COMMAND") or shlex.join(sys.argv)
    about = machine.describe(options.ROOT, chosen.build, everybody, command)
    about.update(
        unfinished=True, rounds=chosen.rounds, duration=chosen.duration, warmup=chosen.warmup,
        rows=[row.id for row in chosen.rows], left_out=left_out,
        built_by=contenders.steps([each.name for each in everybody], chosen.registry),
        contenders=[{"name": each.name, "title": each.title, "kind": each.kind}
                    for each in everybody])
    results.write_about(folder, about)
    session = Session(folder, len(ahead))
    # Once the rivals are built, what else comes before is a part of the five minutes.
    carry_out(chosen, ahead, session, about,
              QUICK_SECONDS - (time.monotonic() - begun - building) if chosen.quick else None)
    results.write_about(folder, about)
    files = write_all(folder, results.Results(about, session.records))
    print(f"\n{noise.judge(session.records)[0]}\nwritten to {folder}: {', '.join(files)}")
    if about.get("interrupted"):
        return INTERRUPTED
    if all("failed" in record for record in session.records):
        print("nothing could be measured", file=sys.stderr)
        return 1
    return 0


def main():
    chosen = options.parse(sys.argv[1:])
    if chosen.list:
        list_all(chosen)
    elif chosen.packages:
        list_packages(chosen)
    elif chosen.again:
        print(*write_all(chosen.again, results.read(chosen.again)))
    else:
        try:
            return compare(chosen)
        except KeyboardInterrupt:  # while it builds, or once more while it writes
            print("\ninterrupted")
            return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
