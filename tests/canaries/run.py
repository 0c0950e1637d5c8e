"""Compiles and runs each canary with the build's compiler and compares what it does with the table.

usage: run.py COMPILER_ID COMPILER_VERSION COMPILER...    (as meson calls it)
Exit: 0 as the table says; 1 not; 77 the compiler is in no column, and something went wrong with it.
"""

import pathlib
import resource
import signal
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
SECONDS = 60  # for each compilation and each run; they take one, and nothing
STACK_BYTES = 8 << 20  # what G7 overflows
SKIPPED = 77

TWICE = "destroyed twice"
# It goes on where an unwritten word of its frame says: what comes of that is the heap's doing.
LOST = ("unfinished", "killed by SIGILL", "killed by SIGSEGV")
CRASH = "killed by SIGSEGV"
TAIL_CALLS = "-foptimize-sibling-calls"
FORMS = [["-O0"], ["-O2"]]

# name, program, forms of flags it is compiled in, what GCC 12 does, and the way round it
CANARIES = [
    ("G1", "g1.cpp", FORMS, LOST,
     "a local variable in every body that awaits in a condition"),
    ("G1 with co_yield", "g1_yield.cpp", FORMS, LOST,
     "a local variable in every generator that yields in a condition"),
    ("G2", "g2.cpp", FORMS, TWICE, "naming a capturing lambda before the co_await"),
    ("G3", "g3.cpp", FORMS, TWICE, "user-declared constructors of option types"),
    ("G3 with co_yield", "g3_yield.cpp", FORMS, TWICE, "user-declared constructors of items"),
    ("G4", "g4.cpp", FORMS, "refused: array used as initializer",
     "naming a vector before the co_await"),
    ("G5", "g5.cpp", FORMS, "refused: internal compiler error",
     "keeping temporaries out of && and || beside a co_await"),
    ("G6", "g6.cpp", FORMS, TWICE, "awaiting a condition before the ?: it decides"),
    ("G7", "g7.cpp", [["-O0"]], CRASH, TAIL_CALLS + " among the compile arguments"),
    ("G7 with " + TAIL_CALLS, "g7.cpp", [["-O0", TAIL_CALLS], ["-O2"]], "right", ""),
    ("while (auto x = co_await ...)", "while_declares.cpp", FORMS, "right", ""),
]


def limits():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_STACK, (STACK_BYTES, resource.RLIM_INFINITY))


def call(command):
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS,
                          preexec_fn=limits, check=False)


def outcome(compiler, program, flags, folder):
    """What came of it, in the words of the table."""
    binary = pathlib.Path(folder) / "canary"
    binary.unlink(missing_ok=True)
    try:
        built = call([*compiler, "-std=c++20", *flags, str(HERE / program), "-o", str(binary)])
        if built.returncode != 0:
            for known in ("array used as initializer", "internal compiler error"):
                if known in built.stderr:
                    return "refused: " + known
            return "refused: " + built.stderr.strip()[-500:]
        ran = call([str(binary)])
    except subprocess.TimeoutExpired:
        return f"still running after {SECONDS} s"
    if ran.returncode < 0:
        return "killed by " + signal.Signals(-ran.returncode).name
    return ran.stdout.strip() or f"ended with {ran.returncode} and said nothing"


def verdict(name, got, expected, around, compiler):
    """Why this outcome fails the test, or None."""
    if got in (expected if isinstance(expected, tuple) else (expected,)):
        return None
    if got == "right":
        return (f"canary {name}: this compiler is mended; remove the work-around ({around}) "
                "where it is no longer needed, and its row here")
    return f"canary {name}: {compiler} does it wrong: {got}; expected: {expected}"


def main(identity, version, compiler):
    gcc_12 = identity == "gcc" and version.split(".")[0] == "12"
    failures = []
    with tempfile.TemporaryDirectory() as folder:
        for name, program, forms, on_gcc_12, around in CANARIES:
            expected = on_gcc_12 if gcc_12 else "right"
            for flags in forms:
                got = outcome(compiler, program, flags, folder)
                print(f"{name}, {' '.join(flags)}: {got}", flush=True)
                failures.append(verdict(name, got, expected, around, f"{identity} {version}"))
    failures = [failure for failure in failures if failure]
    print("\n".join(failures))
    if failures and not gcc_12 and identity != "clang":
        print("this compiler is in no column of the table: keep clear of these patterns with it")
        return SKIPPED
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
