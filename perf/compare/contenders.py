"""Who is compared: Lariat on each driver, the floors, and the rivals of perf/rivals/registry.py."""

import importlib.util
import pathlib
import shutil
import subprocess
import typing

PERF = pathlib.Path(__file__).resolve().parent.parent
REGISTRY = PERF / "rivals" / "registry.py"


class Contender(typing.NamedTuple):
    """One of those that are compared."""

    name: str
    title: str
    kind: str  # lariat | floor | rival
    echo: tuple = ()  # a server; the port is appended. Empty: it has none
    environment: tuple = ()  # (name, value) pairs beside what there is
    rows: dict = {}  # a rival's: row id -> the program that does it once
    bench: str = ""  # Lariat's and the floor's: micro_bench, asked by the row's names
    version: tuple = ()
    packages: tuple = ()

    def does(self, row):
        """Whether there is anything of this contender's in the row."""
        if row.own and self.kind == "rival":
            return False
        if row.load:
            return bool(self.echo and not row.missing)
        if self.kind == "rival":
            return row.id in self.rows
        name = row.ours if self.kind == "lariat" else row.floor
        return bool(self.bench and name and not row.missing)


def lariat(build, driver, title):
    return Contender(f"lariat_{driver}", title, "lariat", (str(build / "examples/echo_server"),),
                     (("LARIAT_BACKEND", driver),), bench=str(build / "perf/micro/micro_bench"))


def own(build):
    """Lariat and the floors: what meson has built. A floor that was not built is not there."""
    bench = str(build / "perf/micro/micro_bench")
    servers = [Contender(name, title, "floor", (str(build / "perf/floor" / name),))
               for name, title in (("floor_epoll", "floor: epoll by hand"),
                                   ("floor_uring", "floor: io_uring by hand"))]
    found = [each for each in servers if pathlib.Path(each.echo[0]).exists()]
    return [*found, Contender("floor", "floor: by hand", "floor", bench=bench),
            lariat(build, "epoll", "Lariat, epoll"), lariat(build, "uring", "Lariat, io_uring")]


def registered(registry=REGISTRY):
    """The records of a registry; none where there is no such file."""
    if not registry.exists():
        return []
    spec = importlib.util.spec_from_file_location("registry", registry)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return list(module.RIVALS)


def filled(argv, build, here):
    """A command of the registry, with its {build} and {here} put in."""
    return tuple(str(word).replace("{build}", str(build)).replace("{here}", str(here))
                 for word in argv)


def folder_of(record, build):
    return build / "rivals" / record.name


def rival(record, build, here):
    """A record of the registry as a contender."""
    folder = folder_of(record, build)
    return Contender(
        record.name, record.title, "rival", filled(record.echo or (), folder, here),
        rows={row: filled(argv, folder, here) for row, argv in (record.rows or {}).items()},
        version=filled(record.version or (), folder, here), packages=tuple(record.packages))


def steps(names, registry=REGISTRY):
    """{name: the commands that built it}, as they are told in the results."""
    return {record.name: [" ".join(filled(argv, "BUILD", "perf/rivals"))
                          for argv in record.commands]
            for record in registered(registry) if record.name in names}


def missing_packages(record):
    """Those of its Debian packages that are not installed; none where there is no dpkg."""
    if not shutil.which("dpkg-query"):
        return []
    missing = []
    for package in record.packages:
        told = subprocess.run(["dpkg-query", "-W", "-f=${db:Status-Status}", package],
                              text=True, capture_output=True, check=False)
        if told.stdout != "installed":
            missing.append(package)
    return missing


def build_rival(record, build, here, log, seconds=900):
    """Builds a rival. Returns what is wrong, in a few words; empty: it is ready to run."""
    folder = folder_of(record, build)
    folder.mkdir(parents=True, exist_ok=True)
    with open(log, "w", encoding="utf-8") as told:
        for argv in record.build(str(folder)):
            command = filled(argv, folder, here)
            print("+", *command, file=told, flush=True)
            try:
                subprocess.run(command, check=True, cwd=folder, stdin=subprocess.DEVNULL,
                               stdout=told, stderr=told, timeout=seconds)
            except (OSError, subprocess.SubprocessError) as failure:
                return f"it does not build: {failure}; see {log}"
    return ""


def ready(build, names, registry=REGISTRY, say=print):
    """(contenders, {name: why it is left out}): builds the rivals that are asked for by name; no
    names: all of them.
    """
    contenders, left_out = own(build), {}
    here = registry.parent
    for record in registered(registry):
        if names is not None and record.name not in names:
            continue
        say(f"building {record.title}")
        absent = missing_packages(record)
        wrong = (f"not installed: {', '.join(absent)}" if absent else
                 build_rival(record, build, here, build / f"rival-{record.name}.log"))
        if wrong:
            left_out[record.name] = wrong
            say(f"  left out: {wrong}")
        else:
            contenders.append(rival(record, build, here))
    return contenders, left_out
