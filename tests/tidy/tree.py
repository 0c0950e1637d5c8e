"""The source tree as tests/tidy sees it: files, text without comments, includes, functions."""

import os
import re

CPP = (".hpp", ".cpp", ".h", ".c")
TEXT = CPP + (".py", ".sh", ".S")


def under(path, folder):
    """Whether `path` is `folder` or lies in it; every path lies in ''."""
    return folder == "" or path == folder or path.startswith(folder + "/")


def longest(path, table):
    """The value of the longest folder of `table` that `path` lies in, or None."""
    folders = [folder for folder in table if under(path, folder)]
    return table[max(folders, key=len)] if folders else None


class Tree:
    """Files of the rooms, found by walking; read once."""

    ROOMS = ("runtime", "net", "sync", "examples", "tests", "perf")

    def __init__(self, root):
        self.root = root
        self.files = sorted(self._walk())
        self._texts = {}
        self._codes = {}

    def _walk(self):
        for room in self.ROOMS:
            for folder, folders, names in os.walk(os.path.join(self.root, room)):
                folders[:] = [name for name in folders if name != "__pycache__"]
                for name in names:
                    yield os.path.relpath(os.path.join(folder, name), self.root)

    def path(self, name):
        return os.path.join(self.root, name)

    def text(self, name):
        if name not in self._texts:
            with open(self.path(name), encoding="utf-8", errors="replace") as file:
                self._texts[name] = file.read()
        return self._texts[name]

    def code(self, name):
        """The text with comments, strings and characters blanked, line for line."""
        if name not in self._codes:
            self._codes[name] = blank(self.text(name))
        return self._codes[name]

    def cpp(self, *folders):
        return [name for name in self.files if name.endswith(CPP)
                and (not folders or any(under(name, folder) for folder in folders))]

    def texts(self):
        return [name for name in self.files
                if name.endswith(TEXT) or os.path.basename(name) == "meson.build"]


TOKENS = re.compile(
    r'(?P<include>^[ \t]*#[ \t]*include[ \t]*"[^"\n]*")'
    r'|(?P<raw>\b(?:u8|[uUL])?R"(?P<mark>[^ ()\\\t\n]*)\(.*?\)(?P=mark)")'
    r"|(?P<line>//[^\n]*)|(?P<block>/\*.*?\*/)"
    r'|(?P<string>"(?:\\.|[^"\\\n])*")'
    r"|(?P<char>(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+')", re.S | re.M)


def blank(text):
    def empty(match):
        if match.group("include"):
            return match.group()  # its string is a path
        return re.sub(r"[^\n]", " ", match.group())
    return TOKENS.sub(empty, text)


INCLUDE = re.compile(r'(?m)^\s*#\s*include\s*([<"])([^>"\n]+)[>"]')


def includes(code):
    """(line, '<' or '"', what) of every include, in order."""
    for match in INCLUDE.finditer(code):
        yield code.count("\n", 0, match.start(2)) + 1, match.group(1), match.group(2)


TYPE = re.compile(r"^\s*(?:export\s+)?(?:typedef\s+)?(?:inline\s+)?"
                  r"(?:namespace|class|struct|union|enum|extern)\b")


def without_templates(chunk):
    """Drops attributes and leading template<...> lists, so that the declaration comes first."""
    chunk = re.sub(r"\[\[.*?\]\]", " ", chunk, flags=re.S)
    while True:
        match = re.match(r"\s*template\s*<", chunk)
        if not match:
            return chunk
        depth, at = 1, match.end()
        while at < len(chunk) and depth:
            depth += {"<": 1, ">": -1}.get(chunk[at], 0)
            at += 1
        chunk = chunk[at:]


def functions(code):
    """(first line, last line) of every outermost function body: what stands in braces at the level
    of a namespace or class and is neither. A test case of doctest looks like one, and is one."""
    code = re.sub(r"(?m)^\s*#(?:[^\n\\]|\\.|\\\n)*",
                  lambda match: re.sub(r"[^\n]", " ", match.group()), code)
    start, depth, found = 0, 0, []
    inside = None  # (depth, line) of the function being skipped
    for at, letter in enumerate(code):
        if letter == "{":
            depth += 1
            chunk = without_templates(code[start:at])
            if inside is None and not TYPE.match(chunk):
                lead = len(code[start:at]) - len(code[start:at].lstrip())
                inside = (depth, code.count("\n", 0, start + lead) + 1)
            start = at + 1
        elif letter == "}":
            if inside and inside[0] == depth:
                found.append((inside[1], code.count("\n", 0, at) + 1))
                inside = None
            depth -= 1
            start = at + 1
        elif letter == ";" and inside is None:
            start = at + 1
    return found
