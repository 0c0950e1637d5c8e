"""In which order things are measured, and how long it will take.

Round by round: every row once, and in a row every contender right after the other (A B C, A B C),
so that what the machine does meanwhile falls on all of them.
"""

import collections
import typing

MOST_FAILURES = 2  # of one contender in one row: then it is left out of that row
MOST_ROWS = 3  # that one may fail in when it has not done any: then it is left out


class Job(typing.NamedTuple):
    """One measurement that is to be made."""

    round: int
    row: typing.Any
    contender: typing.Any


def jobs(rows, contenders, rounds):
    """All of them, in their order. Rivals do rows that Lariat has nothing for yet as well."""
    return [Job(number, row, contender) for number in range(rounds) for row in rows
            for contender in contenders if contender.does(row)]


class Clock:
    """How long each measurement takes, learnt from those that were made."""

    def __init__(self, echo_seconds):
        self.echo_seconds = echo_seconds
        self.seen = collections.defaultdict(list)

    def took(self, job, seconds):
        self.seen[job.row.id, job.contender.name].append(seconds)
        self.seen[job.row.id].append(seconds)

    def expected(self, job):
        """Of this contender in this row; else of others in it; else what is said of the row."""
        for key in ((job.row.id, job.contender.name), job.row.id):
            if key in self.seen:
                return sum(self.seen[key]) / len(self.seen[key])
        if job.row.load and "--duration" not in job.row.load:
            return self.echo_seconds
        return job.row.seconds

    def left(self, remaining):
        return sum(self.expected(job) for job in remaining)


class Losses:
    """Who is left out of which row, because it failed there too often; and of all that is left,
    because nothing of it works.
    """

    def __init__(self):
        self.failures = collections.Counter()
        self.failed_rows = collections.defaultdict(set)
        self.works = set()

    def note(self, job, record):
        name = job.contender.name
        if "failed" in record:
            self.failures[job.row.id, name] += 1
            self.failed_rows[name].add(job.row.id)
        else:
            self.works.add(name)

    def gives_up(self, job):
        name = job.contender.name
        hopeless = name not in self.works and len(self.failed_rows[name]) >= MOST_ROWS
        return hopeless or self.failures[job.row.id, name] >= MOST_FAILURES


def duration(seconds):
    """1:02:03, or 2:03."""
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def execute(ahead, measure, clock, say, keep, now, deadline=None):
    """Makes the measurements: `say(place, job, seconds left)` before each, `keep(record)` after.

    Leaves out what would end beyond `deadline` seconds, and returns those.
    """
    losses, begun, late = Losses(), now(), []
    for at, job in enumerate(ahead):
        if losses.gives_up(job):
            continue
        spent = now() - begun
        if deadline is not None and spent + clock.expected(job) > deadline:
            late.append(job)
            continue
        left = clock.left(each for each in ahead[at:] if not losses.gives_up(each))
        say(at + 1, job, left if deadline is None else min(left, deadline - spent))
        start = now()
        record = measure(job)
        clock.took(job, now() - start)
        losses.note(job, record)
        keep(record)
    return late
