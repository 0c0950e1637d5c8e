"""Every public header compiles alone, with all warnings.

By the first compiler: the second shares its standard library, so it would miss the same includes,
and it reads every header in its own cells, where each test includes its header first.
"""

import concurrent.futures
import os
import subprocess

import rules

COMPILER = "clang++-19"
FLAGS = ["-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow",
         "-Wconversion", "-Werror", "-x", "c++", "-"]


def headers_alone(tree):
    """Every public header compiles alone."""
    paths = [f"-I{tree.path(folder)}" for folder in rules.PUBLIC]

    def compile_one(job):
        name, header = job
        run = subprocess.run([COMPILER, *paths, *FLAGS], input=f"#include <{header}>\n",
                             capture_output=True, text=True, check=False)
        return name, run

    jobs = [(name, os.path.relpath(name, folder))
            for folder in rules.PUBLIC for name in tree.cpp(folder) if name.endswith(".hpp")]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, run in pool.map(compile_one, jobs):
            if run.returncode:
                errors = [line for line in run.stderr.splitlines() if "error" in line]
                yield name, 1, f"does not compile alone: {(errors or [run.stderr or '?'])[0]}"
