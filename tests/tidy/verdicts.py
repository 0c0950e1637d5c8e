"""Remembers which sources clang-tidy found clean, so that the next run need not look again.

A source is known to be clean when it, all it includes, its command and the checks are, byte by
byte, as they were when it was found so. What it includes is what ninja noted as it was compiled;
where it was not, or has been changed since, nothing is remembered. As with a compiler's cache, a
header that appears in an earlier folder of the search path is seen by the next change only.
"""

import hashlib
import os
import re
import subprocess
import time

FOLDER = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"),
                      "lariat", "clang-tidy")
DAYS_KEPT = 30


def noted_includes(build):
    """{object: the files it was made of}, for those that are newer than all of them."""
    run = subprocess.run(["ninja", "-C", build, "-t", "deps"], capture_output=True, text=True,
                         check=False)
    found = {}
    for block in run.stdout.split("\n\n"):
        head, *lines = block.splitlines() or [""]
        match = re.match(r"(\S+): #deps \d+, .*\(VALID\)$", head)
        if match:
            files = [os.path.normpath(os.path.join(build, line.strip())) for line in lines]
            if not_older(os.path.join(build, match[1]), files):
                found[match[1]] = files
    return found


def not_older(made, files):
    try:
        return os.stat(made).st_mtime_ns >= max(os.stat(file).st_mtime_ns for file in files)
    except (OSError, ValueError):
        return False


class Verdicts:
    """Of one tree, checked with one tool and its settings (`settings`: any text)."""

    def __init__(self, top, settings, folder=FOLDER):
        self._top = top
        self._settings = settings
        self._folder = folder
        self._digests = {}
        os.makedirs(folder, exist_ok=True)
        oldest = time.time() - DAYS_KEPT * 86400
        for entry in os.scandir(folder):
            if entry.stat().st_mtime < oldest:
                os.unlink(entry.path)

    def _digest(self, file):
        if file not in self._digests:
            with open(file, "rb") as text:
                self._digests[file] = hashlib.sha256(text.read()).hexdigest()
        return self._digests[file]

    def key(self, command, files):
        """Names what was looked at. A file of the tree counts by its name in it, so that what was
        found in one checkout serves the next."""
        here = hashlib.sha256(f"{self._settings}\n{command}\n".encode())
        for file in sorted(files):
            name = os.path.relpath(file, self._top) if file.startswith(self._top) else file
            here.update(f"{name} {self._digest(file)}\n".encode())
        return here.hexdigest()

    def is_clean(self, key):
        path = os.path.join(self._folder, key)
        if not os.path.exists(path):
            return False
        os.utime(path)
        return True

    def remember(self, key):
        with open(os.path.join(self._folder, key), "wb"):
            pass
