"""How much of the machine others had while something was measured."""

import os
import resource
import time
import typing

TICK = 1 / os.sysconf("SC_CLK_TCK")
# Of the machine's CPU time in one measurement, and of the measurements in a run: more, and the
# figure, or the run, is called noisy.
NOISY_SHARE = 0.05
NOISY_RUNS = 0.2


class Moment(typing.NamedTuple):
    """What has been used since the machine, and since this program, were started, in seconds."""

    wall: float
    machine: float  # CPU time of everybody, the hypervisor's other guests among them (steal)
    ours: float  # of this program and of those it has waited for


def machine_seconds(text):
    """Of /proc/stat (proc_stat(5)): user, nice, system, irq, softirq and steal. Time of guests is
    in user already; iowait is idle.
    """
    fields = [int(field) for field in text.split("\n", 1)[0].split()[1:]]
    user, nice, system, _idle, _iowait, irq, softirq, steal = fields[:8]
    return (user + nice + system + irq + softirq + steal) * TICK


def now():
    with open("/proc/stat", encoding="ascii") as stat:
        machine = machine_seconds(stat.read())
    ours = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        used = resource.getrusage(who)
        ours += used.ru_utime + used.ru_stime
    return Moment(time.monotonic(), machine, ours)


def foreign_share(before, after, cores=None):
    """The others' part of all cores' time between two moments. Everything that was started in
    between must have been waited for: until then its time is not counted as ours.
    """
    wall = (after.wall - before.wall) * (cores or os.cpu_count() or 1)
    others = (after.machine - before.machine) - (after.ours - before.ours)
    return min(max(others / wall, 0.0), 1.0) if wall > 0 else 0.0


def is_noisy(run):
    return run.get("foreign_share", 0) > NOISY_SHARE


def judge(runs):
    """One sentence about a whole run, and whether its figures may be quoted."""
    shares = sorted(run["foreign_share"] for run in runs if "foreign_share" in run)
    if not shares:
        return "Nothing was measured.", False
    noisy = sum(share > NOISY_SHARE for share in shares) / len(shares)
    quotable = noisy <= NOISY_RUNS
    text = (f"Others had {shares[len(shares) // 2]:.1%} of the machine's CPU time in the median "
            f"measurement and {shares[-1]:.1%} in the worst; {noisy:.0%} of the measurements had "
            f"more than {NOISY_SHARE:.0%} of it taken from them.")
    if not quotable:
        text = f"**TOO NOISY TO QUOTE.** {text} Repeat it on a machine with nothing else to do."
    return text, quotable
