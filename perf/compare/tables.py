"""results.md: what was found, as tables a person can read."""

import collections
import statistics

import figures
import noise
import rows as work
from figures import number, spread, values_of, with_spread

RATE, CPU = work.RATE, work.CPU


def table(heads, lines, left=1):
    """A Markdown table whose first `left` columns are text."""
    yield "| " + " | ".join(heads) + " |"
    yield "|" + " --- |" * left + " ---: |" * (len(heads) - left)
    for line in lines:
        yield "| " + " | ".join(line) + " |"
    yield ""


def of_runs(runs, metric, text=number):
    return with_spread(spread(values_of(runs, metric).values()), text)


def ratio_to(runs, others, metric):
    found = spread(figures.ratios(values_of(runs, metric), values_of(others, metric)))
    return with_spread(found, two_digits)


def two_digits(value):  # that mean something
    return f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def unit_of(row):
    return row.unit.replace("us", "µs")


def targets(results):
    """Each target beside what each driver reached."""
    lines = []
    drivers = [name for name, each in results.contenders.items() if each["kind"] == "lariat"]
    for row in results.rows:
        for target in row.targets:
            reached = {name: figures.reach(target, results.of(row, name),
                                           results.of(row, target.of)) for name in drivers}
            if all(found is None for found, _ in reached.values()):
                continue
            metric = "" if target.metric == "value" else f": {READABLE[target.metric]}"
            text = number if not target.of else two_digits
            cells = [f"{beside_limit(target, found, text)}, {said}"
                     for found, said in reached.values()]
            unit = "" if target.of or target.metric != "value" else f" {unit_of(row)}"
            lines.append([row.title + metric, f"{target}{unit}", *cells])
    if not lines:
        return
    yield "## Targets\n"
    yield from counted(results)
    yield from table(["what", "target", *map(results.title, drivers)], lines, 2 + len(drivers))


def beside_limit(target, found, text):
    return with_spread(found, figures.beside(target.limit, found, text) if found else text)


READABLE = {RATE: "requests a second", CPU: "CPU µs each", "p50_us": "p50 µs", "p99_us": "p99 µs",
            "resident_bytes_per_connection": "resident bytes each",
            "of_one_core": "part of one core's time"}


def counted(results):
    said = [figures.of_row({target: figures.reach(target, results.of(row, name),
                                                  results.of(row, target.of))[1]
                            for target in row.targets})
            for row in results.rows if row.targets for name in results.names(row, "lariat")]
    yield "; ".join(f"{verdict}: {said.count(verdict)}" for verdict in
                    (figures.REACHED, figures.WITHIN, figures.SHORT, figures.UNKNOWN)
                    if verdict in said)
    yield ("(rows, each on each driver; \"within the spread\": the median is short and the best "
           "round is not; where a limit is also a share of a rival's figure, either will do).\n")


def marked(row, results, name):
    """A figure among whose measurements more than half were noisy bears a mark."""
    runs = results.of(row, name)
    noisy = sum(map(noise.is_noisy, runs))
    return results.title(name) + (" ~" if 2 * noisy > len(runs) else "")


def traffic(row, results):
    """One cell of the echo servers."""
    yield f"### {row.title} (`{row.id}`)\n"
    floors = [name for name in ("floor_epoll", "floor_uring") if results.of(row, name)]
    if "idle" in row.load:
        yield from idle(row, results)
        return
    heads = ["server", "requests/s", "CPU µs each", "p50 µs", "p99 µs", "p99.9 µs"]
    heads += [f"{what} to {name}" for name in floors for what in ("req/s", "CPU")]
    heads += ["peak MB", "verified MB", "errors", "foreign CPU"]
    lines = []
    for name in results.names(row):
        runs = results.of(row, name)
        line = [marked(row, results, name), of_runs(runs, RATE), of_runs(runs, CPU)]
        line += [of_runs(runs, key, lambda value: f"{value:,.0f}")
                 for key in ("p50_us", "p99_us", "p999_us")]
        for floor in floors:
            line += [ratio_to(runs, results.of(row, floor), metric) for metric in (RATE, CPU)]
        line.append(f"{max(run['server_peak_bytes'] for run in runs) / 1e6:,.1f}")
        line.append(f"{sum(run['bytes_verified'] for run in runs) / 1e6:,.0f}")
        line += [str(sum(run["errors"] for run in runs)), foreign(runs)]
        lines.append(line)
    yield from table(heads, lines)


def idle(row, results):
    heads = ["server", "resident bytes each", "mapped data bytes each", "peak MB", "foreign CPU"]
    lines = []
    for name in results.names(row):
        runs = results.of(row, name)
        peak = max(run["server_peak_bytes"] for run in runs) / 1e6
        lines.append([marked(row, results, name),
                      of_runs(runs, "resident_bytes_per_connection"),
                      of_runs(runs, "data_bytes_per_connection"), f"{peak:,.1f}", foreign(runs)])
    yield from table(heads, lines)


def foreign(runs):
    return f"{max(run['foreign_share'] for run in runs):.1%}"


def best_of(row, results, kind):
    """(name, spread) of the one with the smallest median; operations cost, so less is better."""
    found = [(name, spread(values_of(results.of(row, name), "value").values()))
             for name in results.names(row, kind)]
    return min(((name, each) for name, each in found if each), default=(None, None),
               key=lambda pair: pair[1].median)


def operations(room, results):
    """A room's rows beside the floor and the best rival, then everybody's figures."""
    heads = ["operation", "unit", "floor", "Lariat, epoll", "Lariat, io_uring", "best rival",
             "Lariat's to it"]
    lines = []
    for row in results.measured(room):
        rival, best = best_of(row, results, "rival")
        ours, _ = best_of(row, results, "lariat")
        best_text = f"{results.title(rival)}: {with_spread(best)}" if rival else "–"
        lines.append([row.title, unit_of(row), of_runs(results.of(row, "floor"), "value"),
                      of_runs(results.of(row, "lariat_epoll"), "value"),
                      of_runs(results.of(row, "lariat_uring"), "value"), best_text,
                      ratio_to(results.of(row, ours), results.of(row, rival), "value")])
    yield from table(heads, lines, 2)
    yield from everybody(room, results)


def everybody(room, results):
    lines = []
    for row in results.measured(room):
        ours, _ = best_of(row, results, "lariat")
        for name in results.names(row):
            runs = results.of(row, name)
            remark = f" (n = {runs[0]['n']:,})" if "n" in runs[0] else ""
            figure = of_runs(runs, "of_n" if "of_n" in runs[0] else "value")
            if "of_one_core" in runs[0]:
                remark += f" ({of_runs(runs, 'of_one_core')} of one core's time)"
            is_ours = results.contenders[name]["kind"] == "lariat"
            beside = "" if is_ours else ratio_to(results.of(row, ours), runs, "value")
            lines.append([row.title, marked(row, results, name) + remark,
                          figure, unit_of(row), beside, foreign(runs)])
    yield "<details><summary>Everybody's figures</summary>\n"
    yield from table(["operation", "who", "median (min–max)", "unit", "Lariat's to it",
                      "foreign CPU"], lines, 2)
    yield "</details>\n"


def flatness(measured, results):
    """Growth: what one costs among the most at once, to what it costs among the fewest."""
    series = {}
    for row in measured:
        kind, _, count = row.id.rpartition("_")
        series.setdefault(kind, []).append((int(count), row))
    names = [name for name in results.contenders if any(results.of(row, name) for row in measured)]
    lines = []
    for found in series.values():
        (fewest, first), (most, last) = min(found), max(found)
        if fewest < most:
            lines.append([first.title.rpartition(", ")[0], f"{most:,} to {fewest:,}",
                          *(ratio_to(results.of(last, name), results.of(first, name), "value")
                            for name in names)])
    if lines:
        yield "### Is it flat? The cost of one among many to that of one among few (1: it is)\n"
        yield from table(["series", "at once", *map(results.title, names)], lines, 2)


def all_cells(results):
    """Echo: each driver beside each server, over all the cells that both have."""
    cells = [row for row in results.measured("echo") if row.id[0].isdigit()]
    ours = [name for name, each in results.contenders.items() if each["kind"] == "lariat"]
    lines = []
    for name in results.contenders:
        if name not in ours and any(results.of(row, name) for row in cells):
            lines.append([results.title(name), *(over_cells(cells, results, mine, name, metric)
                                                 for mine in ours
                                                 for metric in (CPU, RATE, "p99_us"))])
    if len(cells) < 2 or not lines:
        return
    yield "### All cells together\n"
    yield ("Lariat's figures to each server's: the geometric mean of the cells' median ratios, and "
           "in brackets in how many of them Lariat's is the better.\n")
    yield from table(["server", *(f"{results.title(mine)}: {what}" for mine in ours
                                  for what in ("CPU each", "req/s", "p99"))], lines)


def over_cells(cells, results, mine, other, metric):
    found = [spread(figures.ratios(values_of(results.of(row, mine), metric),
                                   values_of(results.of(row, other), metric))) for row in cells]
    # Who answered nobody while it was measured has figures of 0, and those have no such mean.
    medians = [each.median for each in found if each and each.median > 0]
    if not medians:
        return "–"
    better = sum((each > 1) == (metric == RATE) and each != 1 for each in medians)
    return f"{statistics.geometric_mean(medians):.2f} ({better} of {len(medians)})"


def growth(results):
    """Echo: what a request costs as connections grow."""
    points = connections_of(results)
    if len(points) < 2:
        return
    names = [name for name in results.contenders
             if any(results.of(row, name) for row in points.values())]
    lines = [[results.title(name), *(of_runs(results.of(row, name), CPU)
                                     for row in points.values())] for name in names]
    yield "### CPU µs a request, as connections grow (64 B, pipeline 1)\n"
    yield from table(["server", *(f"{count:,}" for count in points)], lines)


def connections_of(results):
    """{connections: row} of those that send 64 B at pipeline 1."""
    found = {}
    for row in results.measured("echo"):
        parts = row.id.split("x")
        if parts[1:] == ["64", "1"]:
            found[int(parts[0])] = row
    return found


def not_measured(results):
    about = results.about
    lines = [f"- {row.title} (`{row.id}`): {row.missing}" for row in results.rows
             if row.missing and not results.names(row, "lariat")]
    lines += [f"- {name}: left out; {why}" for name, why in about["left_out"].items()]
    lines += failures(results)
    if about.get("late"):
        lines.append(f"- for want of time: {late(about['late'], results)}")
    if results.unfinished:
        lines.append("- what came after the run was interrupted")
    if lines:
        yield "## Not measured\n"
        yield "\n".join(lines) + "\n"


def late(found, results):
    """Of {row: how many}; runs before 2026-11-23 tell only how many there were."""
    if isinstance(found, int):
        return f"{found} measurements"
    made = collections.Counter(record["row"] for record in results.records)
    return ", ".join(f"`{row}` ({count} of {count + made[row]} measurements)"
                     for row, count in found.items())


def failures(results):
    """A line for each contender and reason, with the rows it stands for."""
    found = {}
    for (row, name), whys in results.failures.items():
        for why in dict.fromkeys(whys):
            found.setdefault((name, why), []).append(row)
    for (name, why), rows in sorted(found.items()):
        yield f"- {results.title(name)} failed in {', '.join(f'`{row}`' for row in rows)}: {why}"


def rounds_of(results):
    wanted, whole = results.about["rounds"], results.whole_rounds
    return str(wanted) if whole == wanted else f"{whole} of {wanted}"


def measured_on(results):
    about = results.about
    yield "## Measured on\n"
    facts = [("command", f"`{about['command']}`"), ("commit", about["commit"]),
             ("processor", f"{about['processor']}, {about['cores']} cores"),
             ("memory", f"{about['memory_bytes'] / 2**30:.1f} GiB"), ("kernel", about["kernel"]),
             ("system", about["system"]), ("compiler", about["compiler"]),
             ("Lariat's flags", f"`{about['flags']}`"), ("rounds", rounds_of(results)),
             ("an echo cell", f"{about['warmup']} s warm-up, {about['duration']} s measured")]
    facts += [(f"{name}, version", text) for name, text in about["versions"].items()]
    facts += [(f"{name}, built by", "<br>".join(f"`{step}`" for step in steps))
              for name, steps in about.get("built_by", {}).items() if steps]
    facts.append(("Debian packages", ", ".join(
        f"{name} {version}" for name, version in about["packages"].items()) or "–"))
    yield from table(["what", ""], [list(fact) for fact in facts], 2)


METHOD = """## How to read it

- Rounds are interleaved (A B C, A B C); a figure is the median of the rounds, with the smallest
  and the largest. A ratio is taken within a round, and the median of those is shown.
- The server has core 0 and the load core 1, over loopback, so both are busy: CPU per request is
  what a server costs; requests a second are those of the slower of the two sides.
- Lariat reads up to 256 KiB at a time, as it does by itself, and the floors 64 KiB; what the
  rivals read is in perf/rivals/README.md.
- Every echoed byte is compared with what was sent. Who has an error in a cell has no figure there.
- Latency is that of a saturated server (closed loop), and a percentile is one of the requests that
  were answered in the measured time. Where some clients starve, with a p99 far above the p50, those
  that still waited at the end are in none of them: all percentiles are too low there.
- Operations run in a process of their own, on the core they are pinned to; those that need two
  cores have both. Less is better.
- n: a slow rival did fewer items. What is told for each item is told so all the same; a time of all
  together is that of the row's number, by proportion, or stands for n and is not compared.
- Foreign CPU: the part of the machine's CPU time that others took during a measurement (the worst
  of the rounds), from /proc/stat without our own programs' time. `~` marks who had more than 5 %
  taken away in most rounds.
"""

PLOTS = {"throughput": "Throughput", "cost_per_request": "CPU per request", "latency": "Latency",
         "cost_per_operation": "Cost per operation", "memory": "Memory", "growth": "Growth"}


def document(results, plots):
    """All of results.md, as pieces of text. `plots`: the names of those that were drawn."""
    about = results.about
    yield f"# Lariat beside its rivals, {about['date']}\n"
    if results.unfinished:
        yield f"**NOT FINISHED.** Rounds that are whole: {rounds_of(results)}.\n"
    yield noise.judge(results.records)[0] + "\n"
    if about.get("plots_missing"):
        yield f"No plots: {about['plots_missing']}.\n"
    for name in plots:
        yield f"![{PLOTS[name]}]({name}.svg)\n"
    yield from targets(results)
    for room, title in work.ROOMS.items():
        measured = results.measured(room)
        if not measured:
            continue
        yield f"## {title}\n"
        if room == "echo":
            for row in measured:
                yield from traffic(row, results)
            yield from all_cells(results)
            yield from growth(results)
        else:
            yield from operations(room, results)
        if room == "scale":
            yield from flatness(measured, results)
    yield from not_measured(results)
    yield METHOD
    yield from measured_on(results)


def write(folder, results, plots):
    with open(folder / "results.md", "w", encoding="utf-8") as text:
        for piece in document(results, plots):
            print(piece, file=text)
