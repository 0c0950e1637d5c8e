"""The same figures as pictures (SVG), where matplotlib is there: Debian's python3-matplotlib."""

import figures
import rows as work
import tables
from figures import spread, values_of

try:
    import matplotlib
    matplotlib.use("svg")
    import matplotlib.pyplot as plt
    from matplotlib import ticker
    MISSING = ""
except ImportError as _failure:
    matplotlib = plt = ticker = None
    MISSING = f"matplotlib is not there ({_failure})"

LARIAT = {"lariat_epoll": "#0b5fa5", "lariat_uring": "#2a9df4"}
FLOOR = "#6f6f6f"
RIVALS = ("#d9822b", "#7a9e3a", "#a05195", "#c0504d", "#8c6d31", "#5f9ea0", "#e377c2", "#bcbd22",
          "#9467bd", "#17a398", "#b07aa1", "#ff9d76", "#6b8e23", "#cc6677", "#8b1a1a", "#2ca02c",
          "#e0b500", "#5b3a29", "#ff5fa2", "#00796b")
PALE = "#c9ced6"
MARKS = "ovs^Dp<>hX8*"
# The cells worth a panel each, if they were measured; there is room for six.
CELLS = ("50x64x1", "500x1024x1", "50x64x16", "50x16384x16", "10000x64x1", "churn", "500x64x1",
         "50x1024x1", "50x16384x1", "1x64x1")
PANELS = 6
MEDIANS = "Medians of the rounds; a whisker goes from the least to the most."
SIZE = {"o": 6, "D": 5.5, "|": 12}
THICK = {"o": 1, "D": 1, "|": 2.6}


def colours(results):
    """{name: colour}: Lariat blue, floors grey, every rival its own."""
    rivals = [name for name, each in results.contenders.items() if each["kind"] == "rival"]
    found = {name: RIVALS[at % len(RIVALS)] for at, name in enumerate(rivals)}
    for name, each in results.contenders.items():
        if each["kind"] != "rival":
            found[name] = LARIAT.get(name, FLOOR)
    return found


def colour_of_bar(results, name):
    kind = results.contenders[name]["kind"]
    return LARIAT.get(name, FLOOR if kind == "floor" else PALE)


def cells(results):
    """Rows of traffic for the panels."""
    there = {row.id: row for row in results.measured("echo") if "idle" not in row.load}
    names = [name for name in CELLS if name in there]
    names += [name for name in there if name not in names]
    return [there[name] for name in names[:PANELS]]


def panels(count, title, height=3.4, note=""):
    """A figure of so many axes, two beside each other, and how to read them below."""
    across = min(count, 2)
    down = (count + across - 1) // across
    figure, axes = plt.subplots(down, across, figsize=(6.2 * across, height * down),
                                squeeze=False, layout="constrained")
    figure.suptitle(title, fontsize=13, fontweight="bold")
    figure.supxlabel(note, fontsize=8.5)
    flat = list(axes.flat)
    for spare in flat[count:]:
        spare.set_visible(False)
    for each in flat:
        each.spines[["top", "right"]].set_visible(False)
        each.grid(axis="x", color="#e6e6e6", linewidth=0.7)
        each.set_axisbelow(True)
    return figure, flat[:count]


def short(value):
    """For a tick: 0.5, 20, 150k, 1M."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def readable(axis, log=False):
    """Short numbers; on a logarithmic axis of few decades at 2 and 5 as well."""
    if log:
        low, high = axis.get_view_interval()
        few = high / low < 200
        axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5) if few else (1,), numticks=9))
        axis.set_minor_formatter(ticker.NullFormatter())
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: short(value)))
    axis.set_tick_params(labelsize=8)


def bars(axes, results, found, more_is_better=False, log=False):
    """Horizontal bars of {name: spread}, the best at the top, with a whisker from the least to the
    most. On a logarithmic axis, which has no 0 for a bar to start at, dots.
    """
    names = sorted(found, key=lambda name: found[name].median, reverse=not more_is_better)
    for at, name in enumerate(names):
        each = found[name]
        if log:
            axes.plot(each.median, at, "o", color=colours(results)[name], markersize=7)
        else:
            axes.barh(at, each.median, color=colour_of_bar(results, name), height=0.72)
        axes.plot([each.least, each.most], [at, at], color="black", linewidth=1)
        axes.annotate(figures.number(each.median), (max(each.most, each.median), at), xytext=(6, 0),
                      textcoords="offset points", va="center", fontsize=7.5)
    axes.set_yticks(range(len(names)), [results.title(name) for name in names], fontsize=8)
    axes.margins(x=0.18)
    if log:
        axes.set_xscale("log")
    readable(axes.xaxis, log)


def figures_in(row, results, metric):
    found = {name: spread(values_of(results.of(row, name), metric).values())
             for name in results.names(row)}
    return {name: each for name, each in found.items() if each and each.median > 0}


def by_cell(results, metric, title, unit, more_is_better=False):
    """A panel of bars for each cell."""
    chosen = [row for row in cells(results) if figures_in(row, results, metric)]
    if not chosen:
        return None
    most = max(len(figures_in(row, results, metric)) for row in chosen)
    figure, axes = panels(len(chosen), title, 1.2 + 0.24 * most, MEDIANS)
    for row, each in zip(chosen, axes):
        bars(each, results, figures_in(row, results, metric), more_is_better)
        each.set_title(row.title, fontsize=10)
        each.set_xlabel(unit, fontsize=8)
    return figure


def throughput(results):
    return by_cell(results, work.RATE, "Throughput (more is better)", "requests a second", True)


def cost_per_request(results):
    return by_cell(results, work.CPU, "CPU time of the server per request (less is better)", "µs")


def latency(results):
    """p50, p99 and p99.9 of each server, on one line each: medians of the rounds."""
    chosen = [row for row in cells(results) if figures_in(row, results, "p99_us")]
    if not chosen:
        return None
    most = max(len(figures_in(row, results, "p99_us")) for row in chosen)
    figure, axes = panels(
        len(chosen), "Latency (less is better)", 1.2 + 0.24 * most,
        "Medians of the rounds; sorted by p99, the smallest at the top.")
    for row, each in zip(chosen, axes):
        lines = {key: figures_in(row, results, key) for key in ("p50_us", "p99_us", "p999_us")}
        names = sorted(lines["p99_us"], key=lambda name: -lines["p99_us"][name].median)
        for at, name in enumerate(names):
            places = [lines[key][name].median for key in lines if name in lines[key]]
            colour = colours(results)[name]
            each.plot(places, [at] * len(places), color=colour, linewidth=1.4)
            for place, mark in zip(places, "o|D"):
                each.plot(place, at, marker=mark, color=colour, markeredgewidth=THICK[mark],
                          markersize=SIZE[mark])
        each.set_yticks(range(len(names)), [results.title(name) for name in names], fontsize=8)
        each.set_xscale("log")
        readable(each.xaxis, log=True)
        each.set_title(row.title, fontsize=10)
        each.set_xlabel("µs: ● p50   ┃ p99   ◆ p99.9", fontsize=8)
    return figure


def cost_per_operation(results):
    """Every operation beside Lariat's better driver, whose median is 1."""
    rooms = [room for room in ("micro", "sync", "green", "process", "notes")
             if beside_lariat(results, room)]
    if not rooms:
        return None
    lines = {room: beside_lariat(results, room) for room in rooms}
    height = 1.6 + 0.3 * max(map(len, lines.values()))
    figure, axes = panels(
        len(rooms), "Cost per operation (less is better)", height,
        "1: the better of Lariat's two drivers, whose figure stands beside each operation. "
        "Medians of the rounds; ◆ Lariat, ┃ the floor, ● a rival.")
    colour, used = colours(results), {}
    for room, each in zip(rooms, axes):
        for at, (_, found) in enumerate(reversed(lines[room])):
            for name, ratio in found.items():
                mark = "D" if name in LARIAT else "|" if name == "floor" else "o"
                used[name], = each.plot(ratio, at, mark, color=colour[name], linestyle="none",
                                        markersize=SIZE[mark], markeredgewidth=THICK[mark],
                                        label=results.title(name), zorder=2 + (mark == "|"))
        each.axvline(1, color=LARIAT["lariat_uring"], linewidth=0.8)
        each.set_yticks(range(len(lines[room])), [text for text, _ in reversed(lines[room])],
                        fontsize=8)
        each.set_xscale("log")
        readable(each.xaxis, log=True)
        each.set_title(work.ROOMS[room], fontsize=10)
        each.set_xlabel("times Lariat's better driver", fontsize=8)
    # Below the panels: savefig makes room for it.
    figure.legend(handles=list(used.values()), loc="upper center", bbox_to_anchor=(0.5, 0),
                  ncols=5, fontsize=8)
    return figure


def beside_lariat(results, room):
    """[(what it is and Lariat's figure, {name: ratio to that})]"""
    lines = []
    for row in results.measured(room):
        _, ours = tables.best_of(row, results, "lariat")
        if ours is None or ours.median <= 0:
            continue
        found = figures_in(row, results, "value")
        lines.append((f"{row.title}: {figures.number(ours.median)} {tables.unit_of(row)}",
                      {name: each.median / ours.median for name, each in found.items()}))
    return lines


def memory(results):
    """Bytes for each idle connection, and for each parked task or thread."""
    metric = "resident_bytes_per_connection"
    idle = [row for row in results.measured("echo")
            if "idle" in row.load and figures_in(row, results, metric)]
    parked = [row for row in [*results.measured("micro"), *results.measured("green")]
              if row.unit == "B" and figures_in(row, results, "value")]
    chosen = [(row, metric) for row in idle] + [(row, "value") for row in parked]
    if not chosen:
        return None
    most = max(len(figures_in(row, results, key)) for row, key in chosen)
    figure, axes = panels(len(chosen), "Resident memory (less is better)", 1.2 + 0.24 * most,
                          f"{MEDIANS} The axes are logarithmic.")
    for (row, key), each in zip(chosen, axes):
        bars(each, results, figures_in(row, results, key), log=True)
        each.set_title(row.title, fontsize=10)
        each.set_xlabel("bytes each", fontsize=8)
    return figure


def growth(results):
    """What a request costs by connections, and what a task or a timer costs by how many."""
    drawings = [draw for draw, there in (
        (by_connections, len(tables.connections_of(results)) > 1),
        (by_count, len(results.measured("scale")) > 1)) if there]
    if not drawings:
        return None
    figure, axes = panels(len(drawings), "Cost as numbers grow (flat is good)", 4.6)
    for draw, each in zip(drawings, axes):
        draw(each, results)
        each.set_xscale("log")
        each.set_yscale("log")
        # Room above and below: what is flat looks flat.
        low, high = each.dataLim.intervaly
        each.set_ylim(low / 2, high * 2)
        readable(each.xaxis, log=True)
        readable(each.yaxis, log=True)
        each.grid(color="#e6e6e6", linewidth=0.7)
        each.legend(fontsize=7, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.14))
    return figure


def by_connections(axes, results):
    points = tables.connections_of(results)
    for at, (name, colour) in enumerate(colours(results).items()):
        found = {count: figures_in(row, results, work.CPU).get(name)
                 for count, row in points.items()}
        line = sorted((count, each.median) for count, each in found.items() if each)
        if line:
            axes.plot(*zip(*line), marker=MARKS[at % len(MARKS)], markersize=4, color=colour,
                      linewidth=2 if name in LARIAT else 1, label=results.title(name))
    axes.set_xlabel("connections")
    axes.set_ylabel("CPU µs a request (64 B, pipeline 1)")


def by_count(axes, results):
    lines = {}
    for row in results.measured("scale"):
        kind, _, count = row.id.rpartition("_")
        for name, each in figures_in(row, results, "value").items():
            title = row.title.rpartition(", ")[0]
            lines.setdefault((kind, name, title), []).append((int(count), each.median))
    kinds = list(dict.fromkeys(kind for kind, _, _ in lines))
    for (kind, name, title), line in lines.items():
        axes.plot(*zip(*sorted(line)), marker=MARKS[kinds.index(kind)], markersize=4,
                  color=colours(results)[name],
                  linestyle=("-", "--", ":", "-.")[kinds.index(kind) % 4],
                  label=f"{title}: {results.title(name)}")
    axes.set_xlabel("at once")
    axes.set_ylabel("ns each")


def draw_all(folder, results):
    """Writes a file for each plot there are figures for, and returns their names."""
    if MISSING:
        return []
    # The same figures give the same file, byte by byte.
    matplotlib.rcParams.update({"svg.hashsalt": "lariat", "font.size": 9})
    drawn = []
    for draw in (throughput, cost_per_request, latency, cost_per_operation, memory, growth):
        figure = draw(results)
        if figure is None:
            continue
        figure.savefig(folder / f"{draw.__name__}.svg", metadata={"Date": None},
                       bbox_inches="tight")
        plt.close(figure)
        drawn.append(draw.__name__)
    return drawn
