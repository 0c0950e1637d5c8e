"""Medians, ratios and verdicts: the arithmetic of the comparison, and nothing else.

A ratio is taken within a round, where both sides were measured one right after the other: what the
machine did meanwhile falls on both. What is told is the median of those, with the smallest and the
largest, and a difference inside that spread is no difference.
"""

import statistics
import typing

REACHED, WITHIN, SHORT, UNKNOWN = "reached", "within the spread", "short", "no figure"
ORDER = (SHORT, UNKNOWN, WITHIN, REACHED)  # from the worst


class Spread(typing.NamedTuple):
    """What several rounds gave."""

    median: float
    least: float
    most: float


def spread(values):
    """None of none."""
    found = [value for value in values if value is not None]
    if not found:
        return None
    return Spread(statistics.median(found), min(found), max(found))


def ratios(mine, others):
    """Of {round: value} on each side: the ratios of the rounds that both have."""
    return [mine[number] / others[number] for number in sorted(mine)
            if others.get(number) and mine[number] is not None]


def values_of(runs, metric):
    """{round: value} of a contender's runs in one row, those left out that have none."""
    return {run["round"]: run[metric] for run in runs if run.get(metric) is not None}


def reach(target, runs, others):
    """(figure, verdict): what `runs` come to in the target's terms. `others` are those of the
    contender it is held against, if it is held against one.
    """
    values = values_of(runs, target.metric)
    if target.of:
        found = spread(ratios(values, values_of(others, target.metric)))
    else:
        found = spread(values.values())
    return found, verdict(target, found)


def verdict(target, found):
    """Whether a spread reaches a target: by its median, else by its best round."""
    if found is None:
        return UNKNOWN
    if target.least:
        median, best, limit = -found.median, -found.most, -target.limit
    else:
        median, best, limit = found.median, found.least, target.limit
    if median <= limit:
        return REACHED
    return WITHIN if best <= limit else SHORT


def worst(verdicts):
    """Of several targets in one row: the one that is furthest from being reached."""
    return min(verdicts, key=ORDER.index, default="")


def of_row(verdicts):
    """What {target: verdict} of one row come to: the worst, where a limit counts as its share of a
    rival's figure does if that is better: it is of a machine of another speed.
    """
    scaled = {target.metric: said for target, said in verdicts.items()
              if target.scaled and said != UNKNOWN}
    return worst([max(said, scaled.get(target.metric, SHORT), key=ORDER.index)
                  for target, said in verdicts.items() if not target.scaled])


UNITS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}


def in_unit(value, unit, wanted):
    """Errors: ValueError when the two do not measure the same."""
    if unit == wanted:
        return value
    if unit not in UNITS or wanted not in UNITS:
        raise ValueError(f"{unit!r} where {wanted!r} was asked for")
    return value * UNITS[unit] / UNITS[wanted]


def number(value):
    """Four digits that mean something: 12,345; 12.35; 0.01234."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def with_spread(found, text=number):
    if found is None:
        return "–"
    median, least, most = map(text, found)
    return median if least == most else f"{median} ({least}–{most})"


MOST_DECIMALS = 9  # that a figure is written with
LIMITS_DECIMALS = 4  # that it must have because its limit does: a third has no end


def decimals(text):
    return len(text.partition(".")[2])


def beside(limit, found, text=number):
    """What writes the figures of a spread beside a limit: with as many decimals as they have by
    `text`, and as the limit has, and more where rounding would put one on the limit's other side.
    """
    shown = float(f"{limit:g}")
    least = max(min(decimals(f"{limit:g}"), LIMITS_DECIMALS), *(decimals(text(value))
                                                               for value in found))
    for places in range(least, MOST_DECIMALS):
        rounded = [float(f"{value:.{places}f}") for value in found]
        if all((value > limit) == (near > shown) and (value < limit) == (near < shown)
               for value, near in zip(found, rounded)):
            break
    else:
        places = least
    return lambda value: f"{value:,.{places}f}"
