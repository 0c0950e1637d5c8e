"""What a run is told, and what it refuses before anything is built."""

import argparse
import math
import pathlib
import tempfile

import contenders
import rows

ROOT = contenders.PERF.parent


def parse(arguments):
    parser = argparse.ArgumentParser(
        prog="compare.sh", description="Lariat beside its rivals, interleaved and pinned")
    parser.add_argument("--quick", action="store_true",
                        help="a part of it: measures for less than five minutes")
    parser.add_argument("--rows", default="", help="ids or rooms, * matches: 'micro 50x64*'")
    parser.add_argument("--rivals", help="only these, by name; 'none': Lariat and the floors")
    parser.add_argument("--only", default="", help="only these contenders: 'lariat_uring go'")
    parser.add_argument("--rounds", type=count, help="of all rows (3; --quick: 2)")
    parser.add_argument("--duration", type=seconds,
                        help="seconds an echo cell is measured (2; --quick: 0.6)")
    parser.add_argument("--out", type=pathlib.Path,
                        help="a new or empty folder (perf/results/<date>, <date>-2, ...)")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build-perf",
                        help="where Lariat is built (build-perf)")
    parser.add_argument("--no-install", action="store_true",
                        help="take what is there, without apt (compare.sh)")
    parser.add_argument("--registry", type=pathlib.Path, default=contenders.REGISTRY,
                        help=argparse.SUPPRESS)
    parser.add_argument("--list", action="store_true", help="the rows and the rivals")
    parser.add_argument("--packages", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--again", type=pathlib.Path, metavar="FOLDER",
                        help="write tables and plots of an earlier run anew")
    chosen = parser.parse_args(arguments)
    chosen.build = chosen.build.resolve()  # rivals are built in folders of their own
    if chosen.rounds is None:
        chosen.rounds = 2 if chosen.quick else 3
    if chosen.duration is None:
        chosen.duration = 0.6 if chosen.quick else 2.0
    chosen.warmup = 0.2 if chosen.quick else 0.5
    names = None if chosen.rivals is None else chosen.rivals.split()
    chosen.rivals = [] if names == ["none"] else names
    chosen.only = chosen.only.split()
    try:
        chosen.rows = rows.chosen(chosen.rows.split(), chosen.quick)
        check_names(chosen)
        if chosen.again:
            check_written(chosen.again)
        elif not chosen.list:
            check_free(chosen.out)
    except ValueError as wrong:
        parser.error(str(wrong))
    return chosen


def count(text):
    if int(text) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return int(text)


def seconds(text):
    if not 0 < float(text) < math.inf:
        raise argparse.ArgumentTypeError("more than 0 seconds, and an end")
    return float(text)


def check_names(chosen):
    rivals = [record.name for record in contenders.registered(chosen.registry)]
    for what, names, known in (("rival", chosen.rivals or [], rivals),
                               ("contender", chosen.only, [*contenders.OWN, *rivals])):
        for name in names:
            if name not in known:
                raise ValueError(f"no {what} is called {name}; there are: {' '.join(known)}")


def check_written(folder):
    for name in ("about.json", "raw.jsonl"):
        if not (folder / name).is_file():
            raise ValueError(f"--again: there is no {folder / name}")


def check_free(folder):
    """Refuses a folder that cannot be written, or that has something in it. It is made for that:
    compare.sh asks before it builds anything.
    """
    place = folder or contenders.PERF / "results"
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place):
            pass
        if folder and any(folder.iterdir()):
            raise ValueError(f"--out: {folder} is not empty; its results would be lost")
    except OSError as failure:
        raise ValueError(f"{place} cannot be written: {failure.strerror}") from failure
