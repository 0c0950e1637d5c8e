"""Counts the tests of one `meson test` run: tally.py testlog.json.

A doctest program counts as its test cases, any other test as one; a program that dies before its
summary is one failure. Failed tests are shown with the end of their output and of what they said on
stderr, a line that is repeated once. The last line is "N passed, N failed"; what was skipped (exit
code 77, doctest::skip) is named above it, and not counted as passed.
"""

import itertools
import json
import re
import sys

SUMMARY = re.compile(r"\[doctest\] test cases:\s*\d+\s*\|\s*(\d+) passed\s*\|\s*(\d+) failed"
                     r"\s*\|\s*(\d+) skipped")
SHOWN_LINES = 60


def count(test):
    """(passed, failed) of one line of the log; a skipped test is (0, 0)."""
    result = test["result"]
    if result == "SKIP":
        return 0, 0
    found = SUMMARY.search(test.get("stdout") or "")
    if not found:
        return (1, 0) if result in ("OK", "EXPECTEDFAIL") else (0, 1)
    passed, failed = int(found.group(1)), int(found.group(2))
    if passed + failed == 0:
        print(f"{test['name']}: ran no test case")
        return 0, 1
    if result != "OK" and failed == 0:
        # Every case passed and the program still failed: a leak, a race, a crash at exit.
        failed = 1
    return passed, failed


def show(test):
    print(f"==== {test['name']}: {test['result']}, exit code {test.get('returncode')}")
    # One after the other: what a program says often on stderr would hide what failed in it.
    for stream in ("stdout", "stderr"):
        runs = itertools.groupby((test.get(stream) or "").splitlines())
        lines = [(line, len(list(same))) for line, same in runs]
        for line, times in lines[-SHOWN_LINES:]:
            print(line if times == 1 else f"{line} ({times} times)")


def report_skipped(test):
    text = (test.get("stdout") or "").strip()
    found = SUMMARY.search(text)
    if test["result"] == "SKIP":
        print(f"skipped: {test['name']}: {text.splitlines()[-1] if text else 'no reason given'}")
    elif found and int(found.group(3)):
        print(f"skipped: {test['name']}: {found.group(3)} of its test cases")


def main():
    with open(sys.argv[1], encoding="utf-8", errors="replace") as log:
        tests = [json.loads(line) for line in log if line.strip()]
    passed = failed = 0
    for test in tests:
        ok, bad = count(test)
        passed += ok
        failed += bad
        if bad:
            show(test)
    for test in tests:
        report_skipped(test)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not tests else 0


sys.exit(main())
