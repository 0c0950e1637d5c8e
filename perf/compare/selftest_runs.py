"""Tests of perf/compare: what a run refuses, builds and leaves behind. selftest.py runs them."""

import io
import json
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import types
import unittest
from contextlib import redirect_stderr, redirect_stdout

import builds
import contenders
import options
import results
import rows
import run
import tables

HERE = pathlib.Path(__file__).resolve().parent


class InFolder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)


class Builds(InFolder):
    def built(self, *commands, wanted=(), packages=()):
        """What is told of a build of these commands, templates, and how often each has run."""
        here = self.folder / "rivals"
        here.mkdir(exist_ok=True)
        record = types.SimpleNamespace(packages=packages, build=lambda _: commands)
        folder = self.folder / "built"
        told = builds.build(record, [str(folder / word) for word in wanted], folder, here,
                            self.folder / "log")
        runs = folder / "runs"
        return *told, runs.read_text(encoding="utf-8").split() if runs.exists() else []

    def compiling(self, name):
        """A command that makes a file from a source, and notes that it did."""
        return ["sh", "-c", f"cat $0 >$2; echo {name} >>{{build}}/runs", f"{{here}}/{name}.txt",
                "-o", f"{{build}}/{name}"]

    def source(self, name, text):
        (self.folder / "rivals").mkdir(exist_ok=True)
        (self.folder / "rivals" / f"{name}.txt").write_text(text, encoding="utf-8")

    def test_only_what_has_changed_is_built(self):
        self.source("a", "1")
        commands = [self.compiling("a")]
        self.assertEqual(self.built(*commands, wanted=["a"]), ("", True, ["a"]))
        self.source("a", "1")  # a later time, the same content
        self.assertEqual(self.built(*commands, wanted=["a"]), ("", False, ["a"]))
        self.source("a", "2")
        self.assertEqual(self.built(*commands, wanted=["a"]), ("", True, ["a", "a"]))
        (self.folder / "built/a").unlink()
        self.assertEqual(self.built(*commands, wanted=["a"]), ("", True, ["a", "a", "a"]))

    def test_what_a_program_includes_counts_as_its_source(self):
        room = self.folder / "rivals"
        room.mkdir()
        for name in ("a.cpp", "b.hpp"):
            (room / name).write_text("1", encoding="utf-8")
        command = ["sh", "-c", "cat $0 >$2; echo a >>{build}/runs", "{here}/a.cpp", "-o",
                   "{build}/a"]
        self.built(command, wanted=["a"])
        (room / "b.hpp").write_text("2", encoding="utf-8")
        self.assertEqual(self.built(command, wanted=["a"]), ("", True, ["a", "a"]))

    def test_only_what_is_wanted_is_built(self):
        self.source("a", "1")
        self.source("b", "1")
        commands = [self.compiling("a"), self.compiling("b")]
        self.assertEqual(self.built(*commands, wanted=["b"]), ("", True, ["b"]))

    def test_a_build_that_fails_tells_why_and_no_folder_of_this_machine(self):
        said = f"{self.folder}/rivals/x.cpp:7: error: no such thing, see /usr/include/some/h.hpp"
        wrong, _, _ = self.built(["sh", "-c", f"echo before; echo '{said}'; echo after; exit 3"])
        self.assertEqual(wrong, "it does not build: exit status 3: perf/rivals/x.cpp:7: error: "
                                "no such thing, see h.hpp")
        wrong, _, _ = self.built(["/no/such/compiler"])
        self.assertIn("compiler: No such file", wrong)

    def test_what_failed_is_built_again(self):
        once = ["sh", "-c", "test -e {build}/tried || { touch {build}/tried; exit 1; }"]
        self.assertIn("does not build", self.built(once)[0])
        self.assertEqual(self.built(once)[:2], ("", True))

    def test_a_package_that_is_missing_is_named(self):
        absent = types.SimpleNamespace(packages=["no-such-package-9"])
        if shutil.which("dpkg-query"):
            self.assertEqual(builds.missing_packages(absent), ["no-such-package-9"])

    def test_only_rivals_that_do_a_row_are_asked_for(self):
        chosen = rows.chosen(["fetch_fanout"], False)
        names = {record.name for record in contenders.asked_for(chosen)}
        self.assertEqual(names, {"aiohttp", "curl", "go", "node"})
        named = contenders.asked_for(chosen, ["go", "tokio"])
        self.assertEqual([record.name for record in named], ["go"])
        self.assertEqual(contenders.asked_for(chosen, only=["lariat_epoll"]), [])


class Options(InFolder):
    def refused(self, *arguments):
        told = io.StringIO()
        with redirect_stderr(told), self.assertRaises(SystemExit) as ended:
            options.parse(arguments)
        self.assertEqual(ended.exception.code, 2)
        return told.getvalue()

    def test_what_makes_no_sense_is_refused(self):
        for arguments, reason in (
                (["--rounds", "0"], "at least 1"), (["--duration", "0"], "more than 0 seconds"),
                (["--duration", "nan"], "more than 0 seconds"), (["--duration", "x"], "invalid"),
                (["--only", "go nobody"], "no contender is called nobody"),
                (["--rivals", "go nobody"], "no rival is called nobody"),
                (["--again", "/nosuch"], "there is no /nosuch/about.json")):
            self.assertIn(reason, self.refused(*arguments), arguments)

    def test_results_are_not_written_over(self):
        (self.folder / "raw.jsonl").write_text("", encoding="utf-8")
        self.assertIn("is not empty", self.refused("--out", str(self.folder)))
        self.assertIn("cannot be written: Not a directory",
                      self.refused("--out", str(self.folder / "raw.jsonl/below")))
        new = self.folder / "new"
        for _ in range(2):  # compare.sh asks, builds, and asks again
            self.assertEqual(options.parse(["--out", str(new)]).out, new)


REGISTRY = """
import types
def rival(name, build, rows):
    return types.SimpleNamespace(name=name, title=name, packages=[], version=[], commands=[],
                                 build=lambda _: build, echo=None, rows=rows)
def says(text):
    return ["sh", "-c", text]
GOOD = "echo '{{\\"row\\": \\"mutex\\", \\"value\\": 5, \\"unit\\": \\"ns\\"}}'"
RIVALS = [
    rival("good", [], {{"mutex": says(GOOD)}}),
    rival("bad", [], {{"mutex": says("exit 1")}}),
    rival("broken", [says("echo some error; exit 1")], {{"mutex": says(GOOD)}}),
    rival("slow", [says("echo $$ >{folder}/begun; exec tail -f /dev/null")], {{"mutex": []}}),
    rival("stuck", [], {{"mutex": says("echo $$ >{folder}/begun; exec tail -f /dev/null")}}),
]
"""


class Runs(InFolder):
    def started(self, *arguments):
        """A run among these rivals, for there is nothing of Lariat's in its build."""
        (self.folder / "build.ninja").touch()
        registry = self.folder / "registry.py"
        registry.write_text(REGISTRY.format(folder=self.folder), encoding="utf-8")
        return subprocess.Popen(
            [sys.executable, str(HERE / "run.py"), "--build", str(self.folder), "--registry",
             str(registry), "--rows", "mutex", "--out", str(self.folder / "out"), *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def ended(self, runner):
        """Its exit status and all that it said."""
        printed, complained = runner.communicate(timeout=60)
        self.assertNotIn("Traceback", complained)
        return runner.returncode, printed + complained

    def about(self):
        return json.loads((self.folder / "out/about.json").read_text(encoding="utf-8"))

    def test_a_run_that_ends_is_finished(self):
        status, _ = self.ended(self.started("--only", "good bad", "--rounds", "2"))
        self.assertEqual(status, 0)
        self.assertNotIn("unfinished", self.about())
        text = (self.folder / "out/results.md").read_text(encoding="utf-8")
        self.assertIn("| rounds | 2 |", text)
        self.assertIn("bad failed in `mutex`: exit status 1", text)

    def test_where_nothing_can_be_measured_the_status_says_so(self):
        status, said = self.ended(self.started("--only", "bad", "--rounds", "1"))
        self.assertEqual((status, "nothing could be measured" in said), (1, True))

    def test_who_does_not_build_is_named_where_nothing_is_left(self):
        status, said = self.ended(self.started("--only", "broken"))
        self.assertEqual(status, 1)
        self.assertIn("nothing to measure: broken is left out: it does not build: exit status 1: "
                      "some error", said)

    def interrupted(self, *arguments, signals):
        runner = self.started(*arguments)
        while not (self.folder / "begun").exists():
            self.assertIsNone(runner.poll())
        for number in signals:
            runner.send_signal(number)
        return self.ended(runner)

    def test_an_interrupted_run_says_that_it_is_not_finished(self):
        status, _ = self.interrupted("--only", "good stuck", signals=[signal.SIGINT])
        self.assertEqual(status, 130)
        self.assertTrue(self.about()["unfinished"])

    def test_a_killed_run_says_that_it_is_not_finished(self):
        self.interrupted("--only", "good stuck", signals=[signal.SIGKILL])
        with redirect_stdout(io.StringIO()):
            run.write_all(self.folder / "out", results.read(self.folder / "out"))
        text = (self.folder / "out/results.md").read_text(encoding="utf-8")
        self.assertIn("**NOT FINISHED.** Rounds that are whole: 0 of 3.", text)
        self.assertIn("| rounds | 0 of 3 |", text)
        self.assertIn("what came after the run was interrupted", text)

    def test_an_interrupt_of_a_build_is_no_accident(self):
        status, said = self.interrupted("--only", "slow", signals=[signal.SIGINT])
        self.assertEqual((status, "interrupted" in said), (130, True))

    def test_two_interrupts_are_no_accident(self):
        status, _ = self.interrupted("--only", "good stuck", signals=[signal.SIGINT] * 2)
        self.assertEqual(status, 130)


class Quick(InFolder):
    def test_who_hangs_does_not_take_all_of_the_five_minutes(self):
        chosen = options.parse(["--quick", "--out", str(self.folder / "new")])
        self.assertLess(run.settings_for(chosen).limit, run.QUICK_SECONDS / 10)

    def test_rows_that_came_too_late_are_named(self):
        about = {"contenders": [], "rows": [], "left_out": {}, "late": {"mutex": 2, "timer": 1}}
        found = results.Results(about, [{"row": "mutex", "contender": "x", "round": 0}])
        text = "\n".join(tables.not_measured(found))
        self.assertIn("- for want of time: `mutex` (2 of 3 measurements), "
                      "`timer` (1 of 1 measurements)", text)


if __name__ == "__main__":
    unittest.main()
