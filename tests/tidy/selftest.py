#!/usr/bin/env python3
"""Tests tests/tidy: a small clean tree passes every rule, and for every rule a tree that breaks it
in one place is caught in that place. The last line is "N passed, N failed"."""

import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from tidy import RULES
from tree import Tree, blank, functions
from verdicts import Verdicts, not_older

BASE = "runtime/include/lariat/base/"
TASK = "runtime/include/lariat/task/"
HEADER = "#pragma once\n\nnamespace lariat {}\n"
CLEAN = {
    "README.md": "bash examples/run.sh\nbash tests/run.sh\n",
    "meson.build": "",
    ".clang-format": "BasedOnStyle: Google\nIncludeBlocks: Preserve\n",
    BASE + "list.hpp": HEADER,
    TASK + "task.hpp": "#pragma once\n\n#include <lariat/base/list.hpp>\n\n#include <vector>\n",
    "runtime/src/driver/contract.hpp": "#pragma once\n\n#include <lariat/base/list.hpp>\n",
    "runtime/src/driver/uring/ring.cpp": "#include <liburing.h>\n",
    "runtime/src/loop/loop.cpp": '#include "driver/contract.hpp"\n\n#include <unistd.h>\n',
    "net/include/lariat/net/tcp.hpp": "#pragma once\n\n#include <lariat/task/task.hpp>\n",
    "examples/hello.cpp": "#include <lariat/task/task.hpp>\n\nint main() {}\n",
    "tests/base/list_test.cpp": "#include <lariat/base/list.hpp>\n\n#include <vector>\n",
}
LONG = "int f(int a) {\n" + "    a += 1;\n" * 70 + "    return a;\n}\n"

# (rule, file, its text): put into the clean tree, each is found by its rule, in that file.
BAD = [
    ("floors", BASE + "up.hpp", "#pragma once\n\n#include <lariat/task/task.hpp>\n"),
    ("floors", "net/src/tcp.cpp", "#include <lariat/driver/op.hpp>\n"),
    ("floors", "net/src/tcp.cpp", '#include "driver/contract.hpp"\n'),
    ("floors", "runtime/src/task/task.cpp", '#include "../driver/contract.hpp"\n'),
    ("floors", "sync/src/mutex.cpp", "#include <lariat/net/tcp.hpp>\n"),
    ("floors", "sync/src/mutex.cpp", "#include <lariat/sync/gone.hpp>\n"),
    ("public_only", "examples/inside.cpp", '#include "../runtime/src/driver/contract.hpp"\n'),
    ("public_only", BASE + "leak.hpp", '#pragma once\n\n#include "driver/contract.hpp"\n'),
    ("umbrella", "runtime/include/lariat/lariat.hpp",
     "#pragma once\n\n#include <lariat/net/http/client.hpp>\n"),
    ("system_headers", "net/src/tcp.cpp", "#include <liburing.h>\n"),
    ("system_headers", "runtime/src/loop/poll.cpp", "#include <sys/epoll.h>\n"),
    ("system_headers", "net/include/lariat/net/udp.hpp", "#pragma once\n\n#include <unistd.h>\n"),
    ("system_headers", BASE + "spawn.hpp", "#pragma once\n\n#include <thread>\n"),
    ("backend_words", "runtime/src/loop/loop.cpp", "int a = IORING_OP_NOP;\n"),
    ("backend_words", "net/src/tcp.cpp", "int a = EPOLLIN;\n"),
    ("macros", BASE + "macro.hpp", "#pragma once\n\n#define LARIAT_MAX(a, b) a\n"),
    ("file_sizes", BASE + "long.hpp", "#pragma once\n" + "\n" * 400),
    ("file_sizes", "runtime/src/base/long.cpp", "\n" * 501),
    ("file_sizes", "examples/long.cpp", "\n" * 101),
    ("function_sizes", "runtime/src/base/long.cpp", LONG),
    ("function_sizes", "runtime/src/base/long.cpp", "struct s {\n" + LONG + "};\n"),
    ("function_sizes", "runtime/src/base/long.cpp",
     "template <class T>\nt<T>::t(int a) : a_{a}, b_(1) {\n" + "    f();\n" * 69 + "}\n"),
    ("columns", "runtime/src/base/wide.cpp", "// " + "x" * 98 + "\n"),
    ("unfinished", "runtime/src/base/later.cpp", "// TO" "DO: the rest\n"),
    ("unfinished", "runtime/src/base/later.cpp", "#if " "0\n#endif\n"),
    ("honest_tests", "tests/base/wait_test.cpp",
     "void f() { std::this_thread::sleep_for" "(1s); }\n"),
    ("honest_tests", "tests/base/skip_test.cpp", 'TEST_CASE("a" * doctest::skip' "()) {}\n"),
    ("honest_tests", "tests/base/true_test.cpp", "void f() { CHECK" "(true); }\n"),
    ("header_first", "tests/base/list_test.cpp",
     "#include <vector>\n\n#include <lariat/base/list.hpp>\n"),
    ("pragma_once", BASE + "twice.hpp", "namespace lariat {}\n"),
    ("readme", "README.md", "bash examples/run.sh\nbash tests/run.sh\n" + "\n" * 149),
    ("readme", "README.md", "bash tests/run.sh\n"),
    ("top_level", "extra/file.txt", ""),
    ("formatted", "runtime/src/base/ugly.cpp", "int  main( ) {}\n"),
    ("headers_alone", BASE + "lean.hpp", "#pragma once\n\ninline std::size_t size = 0;\n"),
]

# The measure of functions: text and the lines it must find.
MEASURED = [
    ("namespace a {\nint f() {\n    return 1;\n}\n}\n", [(2, 4)]),
    ("class [[nodiscard(\"x {\")]] c {\n    void g() { if (1) { h(); } }\n    int a{3};\n};\n",
     [(2, 2), (3, 3)]),
    ("// {\nconst char* s = R\"({)\";\nvoid f() {}\n", [(3, 3)]),
    ("template <class T, class U = int>\nstruct s : t<T> {\n    s() {\n    }\n};\n", [(3, 4)]),
]


def write(root, files):
    for name, text in files.items():
        path = os.path.join(root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)


def findings(files, rule):
    with tempfile.TemporaryDirectory() as root:
        write(root, files)
        return list(RULES[rule](Tree(root)))


def forgotten():
    """What a remembered verdict must not survive, and what it must: (what, whether it is known)."""
    with tempfile.TemporaryDirectory() as root:
        for top, header in (("first", "int a;"), ("second", "int a;"), ("changed", "int b;")):
            write(os.path.join(root, top), {"a.hpp": header, "a.cpp": '#include "a.hpp"'})

        def verdicts(top, settings="checks"):
            return Verdicts(os.path.join(root, top), settings, os.path.join(root, "known"))

        def known(top, *settings, command="cc"):
            files = [os.path.join(root, top, name) for name in ("a.cpp", "a.hpp")]
            there = verdicts(top, *settings)
            return there.is_clean(there.key(command, files))

        first = verdicts("first")
        files = [os.path.join(root, "first", name) for name in ("a.hpp", "a.cpp")]
        first.remember(first.key("cc", files))
        yield "the same again", known("first"), True
        yield "another checkout", known("second"), True
        yield "a header that was changed", known("changed"), False
        yield "another command", known("first", command="cc -O2"), False
        yield "other checks", known("first", "fewer checks"), False
        made = os.path.join(root, "first", "a.o")
        write(root, {made: ""})
        os.utime(made, (0, 0))
        yield "includes noted before the last change", not_older(made, files), False


def problems():
    """(what was tested, what went wrong or '')."""
    for rule in RULES:
        found = findings(CLEAN, rule)
        yield f"{rule} on a clean tree", f"found {found}" if found else ""
        if rule not in [bad[0] for bad in BAD]:
            yield rule, "no tree here breaks it"
    for rule, name, text in BAD:
        found = [path for path, _, _ in findings({**CLEAN, name: text}, rule)]
        wanted = name.split("/")[0] if rule == "top_level" else name
        yield f"{rule}: {name}", "" if found == [wanted] else f"found {found}, not {wanted} alone"
    for what, found, wanted in forgotten():
        yield f"verdicts: {what}", "" if found == wanted else f"known: {found}"
    for text, lines in MEASURED:
        found = functions(blank(text))
        yield f"functions of {text!r}", "" if found == lines else f"found {found}, not {lines}"


def main():
    passed = failed = 0
    for what, wrong in problems():
        if wrong:
            failed += 1
            print(f"{what}: {wrong}")
        else:
            passed += 1
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
