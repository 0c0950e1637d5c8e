"""Every public header compiles alone, with all warnings.

Most do in any build: a source or test that includes a header first compiles it alone. The others
are compiled here, by the first compiler: the second shares its standard library, so it would miss
the same includes.
"""

import concurrent.futures
import itertools
import os
import shutil
import subprocess

import rules
from checks import includes

COMPILER = "clang++-19"
FLAGS = ["-std=c++20", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Werror"]
# Examples and rivals include as users do; the consumer is built against an installed library.
NOT_BUILT = ("examples/", "perf/", "tests/packaging/", "tests/programs/")
FOLDER = os.path.join("build", "alone")


def included_first(tree):
    """What a source or test that is built everywhere, with these warnings, includes first."""
    firsts = set()
    for name in tree.cpp():
        if name.endswith(".cpp") and not name.startswith(NOT_BUILT):
            firsts.update(what for _, _, what in itertools.islice(includes(tree.code(name)), 1))
    return firsts


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

    built = included_first(tree)
    headers = [(name, os.path.relpath(name, folder))
               for folder in rules.PUBLIC for name in tree.cpp(folder) if name.endswith(".hpp")]
    jobs = [(name, header) for name, header in headers if header not in built]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, run in pool.map(compile_one, jobs):
            if run.returncode:
                errors = [line for line in run.stderr.splitlines() if "error" in line]
                yield name, 1, f"does not compile alone: {(errors or [run.stderr or '?'])[0]}"
