"""Every public header compiles alone, with all warnings.

By the first compiler: the second shares its standard library, so it would miss the same includes,
and it reads every header in its own cells, where each test includes its header first.
"""

import concurrent.futures
import os
import shutil
import subprocess

import rules

COMPILER = "clang++-19"
FLAGS = ["-std=c++20", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Werror"]
FOLDER = os.path.join("build", "alone")


def headers_alone(tree):
    """Every public header compiles alone."""
    # Compiled, not only read: so a compiler's cache can answer, which wants names that stay.
    cached = ["ccache"] if shutil.which("ccache") else []
    paths = [f"-I{folder}" for folder in rules.PUBLIC]
    os.makedirs(tree.path(FOLDER), exist_ok=True)

    def compile_one(job):
        name, header = job
        source = os.path.join(FOLDER, header.replace("/", "_") + ".cpp")
        with open(tree.path(source), "w", encoding="utf-8") as text:
            text.write(f"#include <{header}>\n")
        run = subprocess.run([*cached, COMPILER, *paths, *FLAGS, "-c", source, "-o",
                              source + ".o"], cwd=tree.root, capture_output=True, text=True,
                             check=False)
        return name, run

    jobs = [(name, os.path.relpath(name, folder))
            for folder in rules.PUBLIC for name in tree.cpp(folder) if name.endswith(".hpp")]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, run in pool.map(compile_one, jobs):
            if run.returncode:
                errors = [line for line in run.stderr.splitlines() if "error" in line]
                yield name, 1, f"does not compile alone: {(errors or [run.stderr or '?'])[0]}"
