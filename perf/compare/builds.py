"""Builds the rivals: only what is asked for, and only what has changed since it was built."""

import hashlib
import json
import pathlib
import re
import shutil
import subprocess

import machine

STAMPS = "built.json"  # beside what was built: {command: digest of what it was made of}
MOST_LINES = 3  # of what a compiler complained


def missing_packages(record):
    """Those of its Debian packages that are not installed; none where there is no dpkg."""
    if not shutil.which("dpkg-query"):
        return []
    return [name for name in record.packages
            if machine.first_line(["dpkg-query", "-W", "-f=${db:Status-Status}", name])
            != "installed"]


def build(record, wanted, folder, here, log, seconds=900):
    """Builds into `folder` what stands in `wanted`, words of the commands that will be run.

    Returns what is wrong, without paths of this machine (empty: it is ready to run), and whether
    there was anything to do.
    """
    folder.mkdir(parents=True, exist_ok=True)
    commands = [[str(word).replace("{build}", str(folder)).replace("{here}", str(here))
                 for word in command] for command in record.build(str(folder))]
    needed = [command for command in commands if not made_by(command) or made_by(command) in wanted]
    stamps = read_stamps(folder)
    worked = False
    with open(log, "w", encoding="utf-8") as told:
        for command in needed:
            key, now = " ".join(command), digest(record, command, commands, here)
            made = [made_by(command)] if made_by(command) else wanted
            if stamps.get(key) == now and all(map(is_there, made)):
                continue
            worked = True
            # Until it is done: what is broken off is not taken for built.
            stamps.pop(key, None)
            write_stamps(folder, stamps)
            wrong = run(command, folder, told, seconds)
            if wrong:
                return f"it does not build: {wrong}: {complaint(log, folder, here)}", worked
            stamps[key] = now
            write_stamps(folder, stamps)
    return "", worked


def made_by(command):
    """The file a command makes, if it says which."""
    return command[command.index("-o") + 1] if "-o" in command else ""


def is_there(word):
    """Of a command's words only those that are paths can be missing."""
    return not word.startswith("/") or pathlib.Path(word).exists()


def read_stamps(folder):
    try:
        return json.loads((folder / STAMPS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def write_stamps(folder, stamps):
    (folder / STAMPS).write_text(json.dumps(stamps, indent=1) + "\n", encoding="utf-8")


def digest(record, command, commands, here):
    """Of all that a command's outcome hangs on: its words, its sources, compiler and libraries."""
    of = hashlib.sha256(" ".join(command).encode())
    compiler = next(word for word in command if "=" not in word and word != "env")
    of.update(machine.first_line([compiler, "--version"]).encode())
    of.update(repr(sorted(machine.package_versions(record.packages).items())).encode())
    # A command that does not say what it makes goes on with what those before it have made.
    words = command if made_by(command) else [word for each in commands for word in each]
    for path in sources(words, here):
        of.update(f"{path.name}\n".encode())
        of.update(path.read_bytes())
    return of.hexdigest()


def sources(words, here):
    """The files of this repository that stand among a command's words, or in a folder there, and
    for a program in C or C++ every header that it might include.
    """
    found = set()
    for path in (pathlib.Path(word) for word in words if word.startswith(str(here))):
        found.update(each for each in [path, *path.rglob("*")] if each.is_file())
        if path.suffix in (".c", ".cpp"):
            found.update(here.parent.glob("*/*.hpp"))
    return sorted(found)


def run(command, folder, told, seconds):
    """How a command of a build failed, in a few words; empty: it did not."""
    print("+", *command, file=told, flush=True)
    try:
        done = subprocess.run(command, check=False, cwd=folder, stdin=subprocess.DEVNULL,
                              stdout=told, stderr=told, timeout=seconds)
    except subprocess.TimeoutExpired:
        return f"not done after {seconds:g} s"
    except OSError as failure:
        return f"{pathlib.Path(command[0]).name}: {failure.strerror}"
    return f"exit status {done.returncode}" if done.returncode else ""


def complaint(log, folder, here):
    """What the last command of a log complained, in a line: its errors, else its last lines."""
    lines = log.read_text(encoding="utf-8", errors="replace").rpartition("\n+ ")[2].splitlines()
    lines = [line.strip() for line in lines[1:] if line.strip()]
    errors = [line for line in lines if re.search(r"\berror\b", line, re.IGNORECASE)]
    text = " / ".join(errors[:MOST_LINES] or lines[-MOST_LINES:])
    for path, name in ((folder, "BUILD"), (here, "perf/rivals"), (here.parent, "perf")):
        text = text.replace(str(path), name)
    return without_paths(text)


def without_paths(text):
    """Of a path from the root only the file's name is left: folders are of one machine."""
    return re.sub(r"(?<![\w.\-/])/(?:[^\s/:'\"]+/)+", "", text)[:400]
