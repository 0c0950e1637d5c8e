#!/usr/bin/env python3
"""Tests perf/compare: arithmetic, order, noise, rivals, and what is written of it all.
The contenders are small scripts; nothing is measured. The others are in the files below."""

import io
import json
import pathlib
import sys
import tempfile
import types
import unittest
from contextlib import redirect_stdout

HERE = pathlib.Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE))
MORE = ("selftest_programs", "selftest_servers", "selftest_runs")

import contenders
import figures
import machine
import measure
import noise
import plan
import plots
import results
import rows
import run
import tables
from figures import Spread
from rows import Row, Target


def runs_of(*values, metric="value"):
    return [{"round": number, metric: value} for number, value in enumerate(values)]


class Figures(unittest.TestCase):
    def test_a_ratio_is_taken_within_a_round(self):
        target = Target("value", 1.0, "floor")
        found, said = figures.reach(target, runs_of(10, 20, 90), runs_of(100, 40, 300))
        self.assertEqual((found, said), (Spread(0.3, 0.1, 0.5), figures.REACHED))

    def test_a_round_that_one_side_lacks_has_no_ratio(self):
        mine = {0: 4.0, 2: 9.0}
        self.assertEqual(figures.ratios(mine, {0: 2.0, 1: 5.0}), [2.0])

    def test_a_target_is_reached_by_the_median(self):
        at_most, at_least = Target("value", 10), Target("value", 10, least=True)
        for values, less, more in (((8, 9, 12), figures.REACHED, figures.WITHIN),
                                   ((9, 11, 12), figures.WITHIN, figures.REACHED),
                                   ((11, 12, 13), figures.SHORT, figures.REACHED),
                                   ((7, 8, 9), figures.REACHED, figures.SHORT)):
            found = figures.spread(values)
            self.assertEqual(figures.verdict(at_most, found), less, values)
            self.assertEqual(figures.verdict(at_least, found), more, values)

    def test_a_target_beside_somebody_who_is_not_there_has_no_figure(self):
        found, said = figures.reach(Target("value", 1.0, "tokio"), runs_of(1, 2), [])
        self.assertEqual((found, said), (None, figures.UNKNOWN))

    def test_a_row_is_as_good_as_its_worst_target(self):
        said = [figures.REACHED, figures.SHORT, figures.WITHIN]
        self.assertEqual(figures.worst(said), figures.SHORT)

    def test_a_limit_or_its_share_of_a_rivals_figure_will_do(self):
        limit, ratio = rows.beside(60, tokio=240)
        self.assertEqual(ratio, Target("value", 0.25, "tokio", scaled=True))
        slow = {limit: figures.SHORT, ratio: figures.REACHED}
        self.assertEqual(figures.of_row(slow), figures.REACHED)
        fast = {limit: figures.REACHED, ratio: figures.SHORT}
        self.assertEqual(figures.of_row(fast), figures.REACHED)
        neither = {limit: figures.SHORT, ratio: figures.SHORT}
        self.assertEqual(figures.of_row(neither), figures.SHORT)
        alone = {limit: figures.SHORT, ratio: figures.UNKNOWN}
        self.assertEqual(figures.of_row(alone), figures.SHORT)
        other = {**slow, Target("p99_us", 1.0, "floor"): figures.WITHIN}
        self.assertEqual(figures.of_row(other), figures.WITHIN)

    def test_units_are_brought_together_or_refused(self):
        self.assertAlmostEqual(figures.in_unit(1.5, "ms", "us"), 1500)
        self.assertEqual(figures.in_unit(7, "B", "B"), 7)
        with self.assertRaises(ValueError):
            figures.in_unit(1, "B", "ns")

    def test_a_figure_beside_a_limit_shows_the_verdict(self):
        for limit, values, shown in (
                (0.0368, [0.03657], "0.0366"), (1.1, [1.102], "1.102"),
                (2.003, [2.0004, 2.0002, 2.002], "2.000 (2.000–2.002)"),
                (4, [5], "5"), (1 / 3, [0.25], "0.2500"), (1 / 3, [0.33334], "0.33334"),
                (0.98, [1.04, 0.99, 1.10], "1.04 (0.99–1.10)")):
            found = Spread(values[0], values[1 % len(values)], values[-1])
            text = figures.beside(limit, found, figures.number if limit > 2 else tables.two_digits)
            self.assertEqual(figures.with_spread(found, text), shown)

    def test_numbers_show_four_digits(self):
        shown = [figures.number(value) for value in (123456.7, 12.3456, 0.0123456)]
        self.assertEqual(shown, ["123,457", "12.35", "0.01235"])


class Rows(unittest.TestCase):
    def test_ids_are_unique_and_rooms_exist(self):
        ids = [row.id for row in rows.ROWS]
        self.assertEqual(len(ids), len(set(ids)))
        self.assertEqual({row.room for row in rows.ROWS}, set(rows.ROOMS))

    def test_every_target_can_be_told(self):
        for row in rows.ROWS:
            for target in row.targets:
                self.assertTrue(target.metric == "value" or target.metric in tables.READABLE)

    def test_who_a_ratio_is_taken_to_does_that_work(self):
        known = {record.name: record for record in contenders.registered()}
        for row in rows.ROWS:
            for target in row.targets:
                if target.scaled:
                    self.assertIn(row.id, known[target.of].rows, target)

    def test_what_lariat_does_is_what_micro_bench_has(self):
        sources = "".join(path.read_text(encoding="utf-8")
                          for path in sorted((HERE.parent / "micro").glob("*.[ch]pp")))
        for row in rows.ROWS:
            for name in filter(None, (row.ours, row.floor)):
                # Some end in what a loop puts there: ", two cores".
                is_there = name in sources or name.rpartition(", ")[0] in sources
                self.assertTrue(is_there, name)

    def test_traffic_that_is_too_much_is_nobodys(self):
        too_much, = rows.chosen(["10000x16384x16"], False)
        self.assertIn("GB in flight", too_much.missing)
        server = contenders.Contender("x", "X", "rival", echo=("server",))
        self.assertEqual(plan.jobs([too_much], [server], 1), [])

    def test_what_rivals_do_is_a_row(self):
        ids = {row.id for row in rows.ROWS}
        for record in contenders.registered():
            self.assertEqual(set(record.rows) - ids, set(), record.name)

    def test_a_row_that_lariat_has_nothing_for_says_why(self):
        for row in rows.ROWS:
            self.assertTrue(row.load or row.ours or row.missing, row.id)

    def test_patterns_choose_by_id_and_room(self):
        self.assertEqual([row.id for row in rows.chosen(["50x64x*", "churn"], False)],
                         ["50x64x1", "50x64x16", "churn"])
        self.assertEqual({row.room for row in rows.chosen(["sync"], False)}, {"sync"})
        with self.assertRaisesRegex(ValueError, "no row or room is called 'speed'"):
            rows.chosen(["speed"], False)


class Order(unittest.TestCase):
    def setUp(self):
        self.rows = [Row("a", "micro", "A"), Row("b", "micro", "B")]
        self.names = [contenders.Contender(name, name, "rival", rows={"a": (), "b": ()})
                      for name in ("x", "y")]

    def made(self, measured, deadline=None):
        """What was measured, on a clock that each measurement moves on by a second."""
        time_now, kept = [0.0], []

        def one(job):
            time_now[0] += 1
            kept.append((job.round, job.row.id, job.contender.name))
            return measured(job)

        ahead = plan.jobs(self.rows, self.names, 3)
        late = plan.execute(ahead, one, plan.Clock(1), lambda *_: None, lambda _: None,
                            lambda: time_now[0], deadline)
        return kept, len(late)

    def test_rounds_are_interleaved(self):
        kept, late = self.made(lambda job: {})
        self.assertEqual(kept[:5], [(0, "a", "x"), (0, "a", "y"), (0, "b", "x"), (0, "b", "y"),
                                    (1, "a", "x")])
        self.assertEqual((len(kept), late), (12, 0))

    def test_who_fails_twice_in_a_row_is_left_out_of_it(self):
        kept, _ = self.made(lambda job: {"failed": "!"} if job.contender.name == "x"
                            and job.row.id == "a" else {})
        self.assertEqual([each for each in kept if each[1:] == ("a", "x")],
                         [(0, "a", "x"), (1, "a", "x")])
        self.assertEqual(len([each for each in kept if each[1:] == ("b", "x")]), 3)

    def test_who_never_works_is_left_out_of_everything(self):
        self.rows = [Row(name, "micro", name) for name in "abcde"]
        self.names = [contenders.Contender("x", "x", "rival", rows=dict.fromkeys("abcde"))]
        kept, _ = self.made(lambda job: {"failed": "!"})
        self.assertEqual(len(kept), plan.MOST_ROWS)

    def test_what_would_end_late_is_not_begun(self):
        kept, late = self.made(lambda job: {}, deadline=5.5)
        self.assertEqual((len(kept), late), (5, 7))

    def test_time_left_is_learnt(self):
        clock = plan.Clock(2.0)
        ahead = plan.jobs(self.rows, self.names, 1)
        self.assertEqual(clock.left(ahead), 4.0)
        clock.took(ahead[0], 5.0)
        self.assertEqual(clock.left(ahead), 5.0 + 5.0 + 1.0 + 1.0)

    def test_durations_are_readable(self):
        self.assertEqual([plan.duration(each) for each in (7, 125, 3725)],
                         ["0:07", "2:05", "1:02:05"])


class Noise(unittest.TestCase):
    def test_what_is_neither_idle_nor_ours_is_foreign(self):
        tick = noise.TICK
        text = "cpu  100 10 50 9999 77 1 4 35 20 0\ncpu0 1 1 1 1\n"
        self.assertAlmostEqual(noise.machine_seconds(text), 200 * tick)
        share = noise.foreign_share(noise.Moment(10, 100, 5), noise.Moment(20, 108, 9), 2)
        self.assertAlmostEqual(share, 4 / 20)

    def test_a_noisy_run_says_so(self):
        quiet, loud = [{"foreign_share": share} for share in (0.01, 0.3)]
        self.assertEqual(noise.judge([quiet] * 9 + [loud])[1], True)
        text, quotable = noise.judge([quiet] * 3 + [loud])
        self.assertFalse(quotable)
        self.assertIn("TOO NOISY TO QUOTE", text)


class Machine(unittest.TestCase):
    def test_a_processor_is_told_with_its_generation(self):
        with tempfile.TemporaryDirectory() as folder:
            told = pathlib.Path(folder) / "cpuinfo"
            told.write_text("cpu family\t: 25\nmodel\t\t: 17\nmodel name\t: Some\n\n", "ascii")
            self.assertEqual(machine.processor(told), "Some, family 25, model 17")
            told.write_text("model name\t: Other\n", "ascii")
            self.assertEqual(machine.processor(told), "Other")


RIVAL = types.SimpleNamespace(
    name="small", title="a small rival", packages=[], version=["sh", "-c", "echo version 1"],
    echo=["{build}/server"],
    rows={"mutex": ["sh", "-c", """echo noise; echo '{"row":"mutex","value":0.5,"unit":"us"}'"""],
          "timer": ["sh", "-c", "exit 1"],
          "await": ["sh", "-c", """echo '{"row":"await","value":1,"unit":"B"}'"""]})


class Rivals(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.build = pathlib.Path(self.folder.name)
        self.small = contenders.rival(RIVAL, self.build, HERE)
        self.settings = measure.Settings("no load")

    def measured(self, row_id):
        row, = rows.chosen([row_id], False)
        return measure.measure(self.small, row, 0, self.settings)

    def test_a_figure_is_brought_into_the_unit_of_its_row(self):
        record = self.measured("mutex")
        self.assertAlmostEqual(record["value"], 500)
        self.assertEqual((record["row"], record["contender"]), ("mutex", "small"))
        self.assertNotIn("failed", record)

    def test_fewer_items_are_told_of_as_many_as_the_row_has_or_not_compared(self):
        skynet, sleepers = rows.chosen(["skynet", "sleepers"], False)
        by_id = {row.id: row for row in (skynet, sleepers)}
        self.assertEqual(measure.of_all(by_id["skynet"], 3.0, 100_000), {"value": 30.0})
        self.assertEqual(measure.of_all(by_id["skynet"], 3.0, None), {"value": 3.0})
        self.assertEqual(measure.of_all(by_id["sleepers"], 0.3, 100_000), {"of_n": 0.3})
        self.assertEqual(measure.of_all(by_id["sleepers"], 0.3, 1_000_000), {"value": 0.3})

    def test_a_rival_that_crashes_is_a_record_and_no_more(self):
        self.assertIn("exit status 1", self.measured("timer")["failed"])
        self.assertIn("where 'ns' was asked for", self.measured("await")["failed"])


def echo_run(contender, number, rate, cpu, share=0.0, row="50x64x1"):
    return {"row": row, "contender": contender, "round": number, "mode": "echo", "errors": 0,
            rows.RATE: rate, rows.CPU: cpu, "p50_us": 10.0, "p99_us": 20.0, "p999_us": 30.0,
            "bytes_verified": 5_000_000, "server_peak_bytes": 3e6, "foreign_share": share}


def operation_run(contender, row, value, **rest):
    return {"row": row, "contender": contender, "round": 0, "value": value, "foreign_share": 0.01,
            **rest}


ABOUT = {
    "date": "2026-01-02 03:04 UTC", "command": "bash perf/compare.sh", "commit": "abc",
    "processor": "a processor", "cores": 2, "memory_bytes": 2**33, "kernel": "Linux 6",
    "system": "Debian", "compiler": "clang", "flags": "-O3", "versions": {"small": "version 1"},
    "packages": {"libsmall": "1.2"}, "rounds": 2, "duration": 2.0, "warmup": 0.5,
    "rows": ["50x64x1", "500x64x1", "mutex", "green_yield", "scale_tasks_1000",
             "scale_tasks_10000"],
    "left_out": {"gone": "not installed: libgone"},
    "contenders": [{"name": "floor_epoll", "title": "floor: epoll by hand", "kind": "floor"},
                   {"name": "lariat_epoll", "title": "Lariat, epoll", "kind": "lariat"},
                   {"name": "lariat_uring", "title": "Lariat, io_uring", "kind": "lariat"},
                   {"name": "small", "title": "a small rival", "kind": "rival"}]}
RECORDS = [
    echo_run("floor_epoll", 0, 1000, 5.0), echo_run("floor_epoll", 1, 2000, 4.0),
    echo_run("lariat_epoll", 0, 990, 5.1), echo_run("lariat_epoll", 1, 2200, 4.0),
    echo_run("small", 0, 500, 9.0, 0.2), echo_run("small", 1, 900, 9.5, 0.3),
    echo_run("lariat_epoll", 0, 800, 5.5, row="500x64x1"),
    operation_run("lariat_epoll", "mutex", 5.0), operation_run("lariat_uring", "mutex", 3.0),
    operation_run("small", "mutex", 6.0, n=1000),
    operation_run("lariat_uring", "scale_tasks_1000", 50.0),
    operation_run("lariat_uring", "scale_tasks_10000", 55.0),
    {"row": "mutex", "contender": "floor_epoll", "round": 0, "failed": "it crashed"},
]


class Told(unittest.TestCase):
    def test_what_built_a_rival_names_no_folder_of_this_machine(self):
        told = contenders.steps([record.name for record in contenders.registered()])
        here = str(pathlib.Path(__file__).resolve().parents[2])
        self.assertTrue(any(told.values()))
        self.assertEqual([line for lines in told.values() for line in lines if here in line], [])

    def test_every_rival_has_a_colour_of_its_own(self):
        self.assertGreaterEqual(len(set(plots.RIVALS)), len(contenders.registered()))


class Written(unittest.TestCase):
    def setUp(self):
        self.found = results.Results(json.loads(json.dumps(ABOUT)), RECORDS)
        self.text = "\n".join(tables.document(self.found, []))

    def test_targets_stand_beside_what_was_reached(self):
        self.assertIn("| 50 connections × 64 B, pipeline 1: requests a second | "
                      ">= 0.98 × floor_epoll | 1.04 (0.99–1.10), reached | –, no figure |",
                      self.text)
        self.assertIn("| mutex, uncontended lock + unlock | <= 4 ns | 5, short | 3, reached |",
                      self.text)

    def test_a_cell_has_rates_costs_ratios_and_counts(self):
        line = next(line for line in self.text.splitlines() if line.startswith("| a small rival"))
        self.assertEqual([cell.strip() for cell in line.strip("|").split("|")],
                         ["a small rival ~", "700 (500–900)", "9.25 (9–9.5)", "10", "20", "30",
                          "0.47 (0.45–0.50)", "2.09 (1.80–2.38)", "3.0", "10", "0", "30.0%"])

    def test_an_operation_stands_beside_the_best_rival(self):
        self.assertIn("| mutex, uncontended lock + unlock | ns | – | 5 | 3 | a small rival: 6 | "
                      "0.50 |", self.text)
        self.assertIn("a small rival (n = 1,000)", self.text)

    def test_all_cells_are_told_together(self):
        self.assertIn("| a small rival | 0.49 (1 of 1) | 2.21 (1 of 1) | 1.00 (0 of 1) | – | – | "
                      "– |", self.text)

    def test_a_cell_in_which_nobody_was_answered_is_left_out_of_those_told_together(self):
        still = echo_run("lariat_epoll", 0, 0, 0.0, row="500x64x1")
        other = echo_run("small", 0, 500, 9.0, row="500x64x1")
        records = [*(each for each in RECORDS if each["row"] != "500x64x1"), still, other]
        text = "\n".join(tables.document(results.Results(ABOUT, records), []))
        self.assertIn("| a small rival | 0.49 (1 of 1) | 2.21 (1 of 1) |", text)

    def test_a_target_and_what_was_reached_are_told_so_that_the_verdict_is_seen(self):
        slept = operation_run("lariat_epoll", "sleepers2s_tasks", 2.0004)
        about = {**ABOUT, "rows": ["sleepers2s_tasks"]}
        self.assertIn("| <= 2.003 s | 2.000, reached |", "\n".join(
            tables.document(results.Results(about, [slept]), [])))

    def test_growth_is_told_by_connections(self):
        self.assertIn("| server | 50 | 500 |", self.text)

    def test_growth_is_told_as_the_most_to_the_fewest(self):
        self.assertIn("| spawn, yield, join a task | 10,000 to 1,000 | 1.10 |", self.text)

    def test_what_is_missing_is_listed_with_its_reason(self):
        for line in ("- gone: left out; not installed: libgone",
                     "- yield through the loop (`green_yield`): green threads are not built yet",
                     "- floor: epoll by hand failed in `mutex`: it crashed"):
            self.assertIn(line, self.text)

    def test_what_was_measured_is_not_listed_as_missing(self):
        about = {**ABOUT, "rows": ["10000x16384x16"]}
        run_of_it = echo_run("lariat_epoll", 0, 1000, 5.0, row="10000x16384x16")
        self.assertNotIn("GB in flight", "\n".join(tables.document(
            results.Results(about, [run_of_it]), [])))

    def test_what_it_ran_on_is_recorded(self):
        for part in ("Linux 6", "a processor, 2 cores", "libsmall 1.2", "version 1", "`-O3`"):
            self.assertIn(part, self.text)

    @unittest.skipIf(plots.MISSING, plots.MISSING)
    def test_what_has_a_logarithmic_axis_has_no_bars(self):
        about = {**ABOUT, "rows": ["task_bytes"]}
        drawn = plots.memory(results.Results(about, [
            operation_run("lariat_epoll", "task_bytes", 137.0),
            operation_run("small", "task_bytes", 3000.0)]))
        self.assertEqual([list(axes.patches) for axes in drawn.axes], [[]])
        plots.plt.close(drawn)

    @unittest.skipIf(plots.MISSING, plots.MISSING)
    def test_a_plot_says_how_it_is_read(self):
        for draw, note in ((plots.latency, "sorted by p99"),
                           (plots.cost_per_request, "a whisker goes from the least to the most"),
                           (plots.cost_per_operation, "1: the better of Lariat's two drivers")):
            drawn = draw(self.found)
            self.assertIn(note, "\n".join(text.get_text() for text in drawn.texts))
            plots.plt.close(drawn)

    def test_a_run_can_be_written_anew(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            results.write_about(folder, self.found.about)
            (folder / "raw.jsonl").write_text("".join(json.dumps(record) + "\n"
                                                      for record in RECORDS), encoding="utf-8")
            again = results.read(folder)
            with redirect_stdout(io.StringIO()):
                files = run.write_all(folder, again)
            self.assertTrue(all((folder / file).stat().st_size > 0 for file in files))
            drawn = {pathlib.Path(file).stem for file in files if file.endswith(".svg")}
            self.assertEqual(drawn, set() if plots.MISSING else {
                "throughput", "cost_per_request", "latency", "cost_per_operation", "growth"})


def load_tests(loader, tests, _pattern):
    """The tests of this file and of those beside it."""
    for name in MORE:
        tests.addTests(loader.loadTestsFromName(name))
    return tests


if __name__ == "__main__":
    unittest.main()
