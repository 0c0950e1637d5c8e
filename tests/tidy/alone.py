"""Every public header compiles alone, with both compilers and all warnings."""

import concurrent.futures
import os
import subprocess

import rules

COMPILERS = ("clang++-19", "g++-12")
FLAGS = ["-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow",
         "-Wconversion", "-Werror", "-x", "c++", "-"]


def headers_alone(tree):
    """Every public header compiles alone."""
    paths = [f"-I{tree.path(folder)}" for folder in rules.PUBLIC]

    def compile_one(job):
        compiler, name, header = job
        run = subprocess.run([compiler, *paths, *FLAGS], input=f"#include <{header}>\n",
                             capture_output=True, text=True, check=False)
        return compiler, name, run

    jobs = [(compiler, name, os.path.relpath(name, folder))
            for folder in rules.PUBLIC for name in tree.cpp(folder) if name.endswith(".hpp")
            for compiler in COMPILERS]
    broken = {}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for compiler, name, run in pool.map(compile_one, jobs):
            if run.returncode:
                errors = [line for line in run.stderr.splitlines() if "error" in line]
                broken.setdefault(name, []).append(f"{compiler}: {(errors or ['?'])[0]}")
    for name, errors in broken.items():
        yield name, 1, "does not compile alone: " + "; ".join(errors)
