#!/usr/bin/env python3
"""Runs clang-tidy over the library's sources: clang_tidy.py BUILD-DIRECTORY [FILE...].

The build directory is one made with Clang: its compile commands are used. The checks are those of
.clang-tidy. What it found clean before, and has not changed, it does not look at again. The last
line is "N passed, N failed", counting files.
"""

import concurrent.futures
import json
import os
import re
import subprocess
import sys

from verdicts import Verdicts, noted_includes

TOP = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
TIDY = "clang-tidy-19"
# The analyzer gives a function up after so many states. Its default, ten times as many, doubles the
# time that everything takes (pool_core.cpp: 19.8 s, not 10.6), and our functions are short.
ANALYZER = [f"--extra-arg={word}" for word in
            ("-Xclang", "-analyzer-config", "-Xclang", "max-nodes=20000")]
LIBRARY = re.compile(r"(?:runtime|net|sync)/src/.*\.cpp")


def sources(build):
    """{source: (its command without what names this checkout, its object)}"""
    found = {}
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
        for each in json.load(file):
            path = os.path.normpath(os.path.join(each["directory"], each["file"]))
            name = os.path.relpath(path, TOP)
            if LIBRARY.fullmatch(name):
                found[name] = (each["command"].replace(build, "").replace(TOP, ""), each["output"])
    return found


def settings():
    version = subprocess.run([TIDY, "--version"], capture_output=True, text=True, check=True)
    with open(os.path.join(TOP, ".clang-tidy"), encoding="utf-8") as checks:
        return "\n".join([version.stdout, checks.read(), *ANALYZER])


def main():
    build = os.path.abspath(sys.argv[1])
    known = sources(build)
    names = sys.argv[2:] or sorted(known)
    verdicts = Verdicts(TOP, settings())
    includes = noted_includes(build)

    def check(name):
        command, made = known.get(name, ("", ""))
        key = verdicts.key(command, includes[made]) if made in includes else None
        if key and verdicts.is_clean(key):
            return name, None
        run = subprocess.run([TIDY, "--quiet", "-p", build, *ANALYZER, name], cwd=TOP,
                             capture_output=True, text=True, check=False)
        if key and run.returncode == 0:
            verdicts.remember(key)
        return name, run

    failed = remembered = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, run in pool.map(check, names):
            if run is None:
                remembered += 1
            elif run.returncode:
                failed += 1
                print(f"==== {name}\n{run.stdout.strip() or run.stderr.strip()}")
    print(f"{remembered} of them are as they were when they were found clean")
    print(f"{len(names) - failed} passed, {failed} failed")
    return 1 if failed or not names else 0


if __name__ == "__main__":
    sys.exit(main())
