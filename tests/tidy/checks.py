"""The house rules, one function a rule: it takes the tree and yields (file, line, what is wrong).
A function's name is the rule's name, and its first line says the rule."""

import fnmatch
import os
import re
import subprocess

import rules
from tree import functions, includes, longest, under


def unit_of(path):
    """(unit, private?) of a file of the rooms, or (None, False)."""
    places = {}
    for unit, (public, private) in rules.UNITS.items():
        places.update({folder: (unit, False) for folder in public})
        places.update({folder: (unit, True) for folder in private})
    return longest(path, places) or (None, False)


def resolve(tree, name, kind, what):
    """The file of the tree that an include means, or None for the system's."""
    known = set(tree.files)
    tries = []
    if kind == '"':
        tries.append(os.path.normpath(os.path.join(os.path.dirname(name), what)))
        tries += [f"{room}/src/{what}" for room in rules.ROOMS]
        tries.append(f"tests/support/{what}")
    tries += [f"{folder}/{what}" for folder in rules.PUBLIC]
    return next((path for path in tries if path in known), None)


def floors(tree):
    """Includes go downwards only, and private headers stay in their folder."""
    for name in tree.cpp(*rules.ROOMS):
        unit, _ = unit_of(name)
        for line, kind, what in includes(tree.code(name)):
            seen = resolve(tree, name, kind, what)
            target, private = unit_of(seen) if seen else (None, False)
            if what.startswith("lariat/") and not seen:
                yield name, line, f"there is no <{what}>"
            if target in (None, unit):
                continue
            if private and target not in rules.SEES_PRIVATE.get(unit, []):
                yield name, line, f"{what} is private to {target}"
            elif not private and target not in rules.SEES.get(unit, []):
                yield name, line, f"{unit} may not see {target} ({what})"


def public_only(tree):
    """Examples, benchmarks and public headers see public headers only."""
    for name in tree.cpp(*rules.OUTSIDERS, *rules.PUBLIC):
        for line, kind, what in includes(tree.code(name)):
            seen = resolve(tree, name, kind, what)
            private = seen and "/src/" in seen and any(under(seen, room) for room in rules.ROOMS)
            if private and name not in rules.INSIDERS:
                yield name, line, f"{what} is private"


def umbrella(tree):
    """The umbrella leaves out what is included by name."""
    name = "runtime/include/lariat/lariat.hpp"
    if name in tree.files:
        for line, _, what in includes(tree.code(name)):
            if what.startswith(rules.NOT_IN_UMBRELLA):
                yield name, line, f"{what} is to be included by name"


def matches(what, patterns):
    return any(fnmatch.fnmatch(what, pattern) for pattern in patterns)


def system_headers(tree):
    """System headers are included where the table allows them."""
    for name in tree.cpp():
        public = any(under(name, folder) for folder in rules.PUBLIC)
        for line, kind, what in includes(tree.code(name)):
            if kind == '"' or what.startswith("lariat/"):
                continue
            homes = [home for pattern, home in rules.SYSTEM_HEADERS.items()
                     if fnmatch.fnmatch(what, pattern)]
            if any(not any(under(name, folder) for folder in home) for home in homes):
                yield name, line, f"<{what}> has no place here"
            elif public and matches(what, longest(name, rules.PUBLIC_MAY) or []):
                continue
            elif public and ("." in what or "/" in what):
                yield name, line, f"a public header includes <{what}>"
            elif matches(what, longest(name, rules.PUBLIC_MUST_NOT) or []):
                yield name, line, f"this floor's public headers do without <{what}>"


def backend_words(tree):
    """A backend's own words stay in its folder."""
    for name in tree.cpp():
        for pattern, homes in rules.BACKEND_WORDS.items():
            if any(under(name, folder) for folder in homes):
                continue
            for match in re.finditer(pattern, tree.code(name)):
                line = tree.code(name).count("\n", 0, match.start()) + 1
                yield name, line, f"{match.group()} belongs to its driver"


def macros(tree):
    """Public headers define no macros, but for configuration and assertions."""
    for name in tree.cpp(*rules.PUBLIC):
        if name not in rules.MAY_DEFINE:
            for match in re.finditer(r"(?m)^\s*#\s*define\s+(\w+)", tree.code(name)):
                line = tree.code(name).count("\n", 0, match.start(1)) + 1
                yield name, line, f"defines {match.group(1)}"


def file_sizes(tree):
    """No file is longer than its kind may be."""
    for name in tree.texts():
        limit = (longest(name, rules.MAX_LINES) or {}).get(os.path.splitext(name)[1])
        lines = tree.text(name).count("\n")
        if limit and lines > limit:
            yield name, lines, f"{lines} lines; the limit is {limit}"


def function_sizes(tree):
    """No function is too long."""
    for name in tree.cpp():
        for first, last in functions(tree.code(name)):
            if last - first + 1 > rules.MAX_FUNCTION:
                yield name, first, (f"a function of {last - first + 1} lines; the limit is "
                                    f"{rules.MAX_FUNCTION}")


def columns(tree):
    """No line is too wide."""
    for name in tree.texts():
        if name.startswith(rules.AS_WRITTEN) and name.endswith((".cpp", ".hpp")):
            continue
        for number, line in enumerate(tree.text(name).splitlines(), 1):
            if len(line) > rules.MAX_COLUMNS:
                yield name, number, f"{len(line)} columns; the limit is {rules.MAX_COLUMNS}"


def unfinished(tree):
    """Nothing announces work left undone."""
    pattern = re.compile("|".join(rules.UNFINISHED), re.I)
    for name in tree.texts():
        for number, line in enumerate(tree.text(name).splitlines(), 1):
            match = pattern.search(line)
            if match:
                yield name, number, f"says '{match.group()}'"


def honest_tests(tree):
    """Tests do not sleep, and cannot pass without looking."""
    pattern = re.compile("|".join(rules.NOT_IN_TESTS))
    for name in tree.cpp("tests"):
        for number, line in enumerate(tree.code(name).splitlines(), 1):
            match = pattern.search(line)
            if match:
                yield name, number, f"'{match.group()}' in a test"


def header_first(tree):
    """A header's test includes that header first."""
    known = set(tree.files)
    for name in tree.cpp("tests"):
        match = re.fullmatch(r"tests/(\w+)/(\w+)_test\.cpp", name)
        if not match:
            continue
        area, stem = match.groups()
        header = f"lariat/{area}/{stem}.hpp"
        if any(f"{folder}/{header}" in known for folder in rules.PUBLIC):
            first = next(includes(tree.code(name)), (1, "", "nothing"))
            if first[2] != header:
                yield name, first[0], f"includes {first[2]} before <{header}>"


def pragma_once(tree):
    """Every header begins with #pragma once."""
    for name in tree.cpp():
        begins = tree.code(name).lstrip().startswith("#pragma once")
        if name.endswith((".hpp", ".h")) and not begins:
            yield name, 1, "does not begin with #pragma once"


def readme(tree):
    """README.md is short and names the two commands."""
    if not os.path.isfile(tree.path("README.md")):
        yield "README.md", 1, "is missing"
        return
    text = tree.text("README.md")
    if text.count("\n") > rules.README_LINES:
        yield "README.md", text.count("\n"), f"the limit is {rules.README_LINES} lines"
    for command in rules.README_NAMES:
        if command not in text:
            yield "README.md", 1, f"does not name {command}"


def top_level(tree):
    """Nothing is added at the top level."""
    for name in sorted(os.listdir(tree.root)):
        if name not in rules.TOP_LEVEL and not name.startswith((".", "build")):
            yield name, 1, "does not belong at the top level"


def formatted(tree):
    """Every C++ file is as clang-format leaves it."""
    names = [name for name in tree.cpp()
             if name.endswith((".hpp", ".cpp")) and not name.startswith(rules.AS_WRITTEN)]
    if not names:
        return
    run = subprocess.run(["clang-format-19", "--dry-run", *names], cwd=tree.root,
                         capture_output=True, text=True, check=False)
    last = None
    for match in re.finditer(r"(?m)^(\S+?):(\d+):\d+: (?:warning|error): ", run.stderr):
        if match.group(1) != last:
            last = match.group(1)
            yield last, int(match.group(2)), "is not formatted: clang-format-19 -i does it"
    if run.returncode and last is None:
        yield ".clang-format", 1, (run.stderr.strip().splitlines() or ["does not work"])[0]


ALL = [floors, public_only, umbrella, system_headers, backend_words, macros, file_sizes,
       function_sizes, columns, unfinished, honest_tests, header_first, pragma_once, readme,
       top_level, formatted]
