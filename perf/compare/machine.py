"""On what, and with what, was measured: written into the results, as figures mean nothing alone."""

import datetime
import os
import pathlib
import platform
import re
import shutil
import subprocess


def first_line(argv):
    """What a program prints first, on either stream; empty when it cannot be asked."""
    try:
        done = subprocess.run(argv, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=60, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    return lines[0] if lines and done.returncode == 0 else ""


def processor(cpuinfo=pathlib.Path("/proc/cpuinfo")):
    """Its name, and what tells generations apart that a hypervisor gives one name."""
    told = dict(re.findall(r"^(.*?)\s*: (.*)$", cpuinfo.read_text(encoding="utf-8"), re.MULTILINE))
    name = told.get("model name", platform.machine())
    if "cpu family" not in told or "model" not in told:
        return name
    return f"{name}, family {told['cpu family']}, model {told['model']}"


def system():
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()


def memory_bytes():
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def commit(root):
    """The commit that is measured, and whether the tree has changes beside it."""
    name = first_line(["git", "-C", str(root), "rev-parse", "--short=12", "HEAD"])
    if not name:
        return "unknown"
    changed = first_line(["git", "-C", str(root), "status", "--porcelain", "--untracked-files=no"])
    return name + (" with changes" if changed else "")


def flags(build):
    """Compiler and flags of a source of Lariat's, as they were."""
    ninja = (build / "build.ninja").read_text(encoding="utf-8")
    compiler = re.search(r"^rule cpp_COMPILER\n command = (.*?) \$ARGS", ninja, re.MULTILINE)
    options = re.search(r"^build \S*micro_bench\S*\.o: cpp_COMPILER .*\n(?:.*\n)*? ARGS = (.*)$",
                        ninja, re.MULTILINE)
    words = (compiler.group(1) if compiler else "").split()
    words += [word for word in (options.group(1) if options else "").split()
              if re.match(r"-(?:O|g|std=|m|f(?!diag|colo)|DNDEBUG)", word)]
    return " ".join(words)


def package_versions(names):
    """{package: version} of those that are installed; none where there is no dpkg."""
    if not names or not shutil.which("dpkg-query"):
        return {}
    told = subprocess.run(["dpkg-query", "-W", "-f=${Package} ${Version}\\n", *sorted(names)],
                          text=True, capture_output=True, check=False)
    return dict(line.split(" ", 1) for line in told.stdout.splitlines() if " " in line)


def describe(root, build, contenders, command):
    """Everything, as a plain record."""
    versions = {each.name: first_line(each.version) for each in contenders if each.version}
    packages = {name for each in contenders for name in each.packages}
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "command": command,
        "commit": commit(root),
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory_bytes": memory_bytes(),
        "kernel": f"{platform.system()} {platform.release()}",
        "system": system(),
        "compiler": first_line(["clang++-19", "--version"]),
        "flags": flags(build),
        "versions": versions,
        "packages": package_versions(packages),
    }
