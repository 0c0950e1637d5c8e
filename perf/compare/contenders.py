"""Who is compared: Lariat on each driver, the floors, and the rivals of perf/rivals/registry.py."""

import importlib.util
import pathlib
import time
import typing

import builds

PERF = pathlib.Path(__file__).resolve().parent.parent
REGISTRY = PERF / "rivals" / "registry.py"


FLOORS = {"floor_epoll": "floor: epoll by hand", "floor_uring": "floor: io_uring by hand"}
OWN = (*FLOORS, "floor", "lariat_epoll", "lariat_uring")


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
        return bool(self.bench and name)

    def words(self, rows):
        """Of the commands of a rival that do these rows."""
        return sorted({word for row in rows if self.does(row)
                       for word in (self.echo if row.load else self.rows[row.id])})


def lariat(build, driver, title):
    return Contender(f"lariat_{driver}", title, "lariat", (str(build / "examples/echo_server"),),
                     (("LARIAT_BACKEND", driver),), bench=str(build / "perf/micro/micro_bench"))


def own(build):
    """Lariat and the floors: what meson has built. A floor that was not built is not there."""
    bench = str(build / "perf/micro/micro_bench")
    servers = [Contender(name, title, "floor", (str(build / "perf/floor" / name),))
               for name, title in FLOORS.items()]
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


def asked_for(rows, names=None, only=(), registry=REGISTRY):
    """The rivals of these names, or of all, that do one of the rows."""
    return [record for record in registered(registry)
            if (names is None or record.name in names) and (not only or record.name in only)
            and any(map(rival(record, PERF, PERF).does, rows))]


def ready(build, records, rows, registry=REGISTRY, say=print):
    """(contenders, {name: why it is left out}, seconds of building): Lariat, the floors and these
    rivals, built as far as the rows need it.
    """
    contenders, left_out, seconds = own(build), {}, 0.0
    here = registry.parent
    for record in records:
        log = build / f"rival-{record.name}.log"
        found = rival(record, build, here)
        begun = time.monotonic()
        absent = builds.missing_packages(record)
        if absent:
            wrong = told = f"not installed: {', '.join(absent)}"
        else:
            say(f"building {record.title}")
            wrong, worked = builds.build(record, found.words(rows), folder_of(record, build), here,
                                         log)
            told = f"{wrong}; {log} has all of it"
            seconds += worked * (time.monotonic() - begun)
        if wrong:
            left_out[record.name] = wrong
            say(f"{record.name} is left out: {told}")
        else:
            contenders.append(found)
    return contenders, left_out, seconds
