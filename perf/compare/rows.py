"""What is measured: the rows of the comparison, as data. A row that nothing measures yet stands
here as well, with the reason in `missing`; whoever builds it puts its benchmark in `ours`.
"""

import fnmatch
import typing


class Target(typing.NamedTuple):
    """What Lariat must reach in a row, on each driver."""

    metric: str  # a key of the measurement
    limit: float
    of: str = ""  # "": in the row's unit; else so many times this contender's figure of that round
    least: bool = False  # at least so much; else at most
    scaled: bool = False  # what another target of this metric says, as a ratio to `of`

    def __str__(self):
        sign = ">=" if self.least else "<="
        return f"{sign} {self.limit:g}" + (f" × {self.of}" if self.of else "")


class Row(typing.NamedTuple):
    """One line of work that all contenders do."""

    id: str
    room: str  # one of ROOMS: the table it stands in
    title: str
    unit: str = "ns"  # of `value`; traffic has units of its own, the last words of its keys
    targets: tuple = ()
    load: tuple = ()  # traffic: what echo_load is told; empty: an operation
    processes: int = 1  # traffic: so many servers, and as many of echo_load, at the same time
    own: bool = False  # no rivals: what is asked is whether Lariat can
    ours: str = ""  # an operation: the row of micro_bench that is Lariat's
    floor: str = ""  # and the one that does it by hand
    cores: str = "0"  # where the work may run
    count: int = 0  # how many items a figure of them all together is for
    proportional: bool = True  # such a figure of fewer items can be told of `count`
    seconds: float = 1  # what one run takes, about: until it has been seen
    quick: bool = False  # belongs to --quick
    missing: str = ""  # why nothing of Lariat's is measured here yet


ROOMS = {
    "echo": "Echo servers",
    "micro": "Tasks, timers, threads",
    "sync": "Locks, events, queues",
    "green": "Green threads",
    "process": "Processes",
    "notes": "Whole programs",
    "http": "HTTP",
    "scale": "Growth",
}

SIZES = {64: "64 B", 1024: "1 KiB", 16384: "16 KiB"}
MOST_IN_FLIGHT = 1 << 30  # bytes: more, and the kernel's limit of TCP memory is what is measured
RATE, CPU = "requests_per_second", "cpu_per_request_us"


def at_most(limit, of="", metric="value"):
    return (Target(metric, limit, of),)


def beside(limit, **there):
    """At most `limit`, or so much of what a rival takes here as that was of what it took where
    the limit comes from: machines differ in speed, and one does from day to day.
    """
    (rival, took), = there.items()
    return (*at_most(limit), Target("value", float(f"{limit / took:.3g}"), rival, scaled=True))


def echo_targets(connections, size, pipeline):
    """What targets.md says of a cell; the bare server is floor_epoll."""
    floor = "floor_epoll"
    if connections == 1 and pipeline == 1 and size == 64:
        return (Target("p50_us", 1.0, floor),)
    if connections == 50 and size == 16384:
        if pipeline == 1:
            return (Target(RATE, 0.97, floor, True),)
        return (Target(RATE, 1.2, floor, True), Target("p99_us", 1.0, floor))
    if connections in (50, 500) and size < 16384:
        if pipeline == 1:
            return (Target(RATE, 0.98, floor, True), Target(CPU, 1.03, floor))
        return (Target(RATE, 1.0, floor, True), Target(CPU, 1.05, floor))
    return ()


def echo_row(connections, size, pipeline):
    """One cell: so many connections, bytes a request, and requests in flight on each."""
    who = "1 connection" if connections == 1 else f"{connections:,} connections"
    load = ("--connections", connections, "--size", size, "--pipeline", pipeline)
    too_much = connections * size * pipeline > MOST_IN_FLIGHT
    return Row(
        f"{connections}x{size}x{pipeline}", "echo", f"{who} × {SIZES[size]}, pipeline {pipeline}",
        targets=echo_targets(connections, size, pipeline), load=tuple(map(str, load)),
        quick=(connections, size, pipeline) in ((50, 64, 1), (50, 64, 16), (500, 1024, 1)),
        missing=f"{connections * size * pipeline / 1e9:.1f} GB in flight" if too_much else "")


def idle_row(connections, targets=(), quick=False):
    load = ("--mode", "idle", "--connections", str(connections), "--duration", "0.1")
    return Row(f"idle-{connections}", "echo", f"{connections:,} idle connections",
               targets=targets, load=load, seconds=3, quick=quick)


def operation(row_id, room, title, unit, ours, targets=(), **rest):
    return Row(row_id, room, title, unit, targets, ours=ours, **rest)


def micro(*arguments, **rest):
    return operation(arguments[0], "micro", *arguments[1:], **rest)


def sync(*arguments, **rest):
    return operation(arguments[0], "sync", *arguments[1:], **rest)


def process(*arguments, **rest):
    return operation(arguments[0], "process", *arguments[1:], cores="0,1", **rest)


def green(row_id, title, unit="ns", targets=()):
    return Row(row_id, "green", title, unit, targets, missing="green threads are not built yet")


TRAFFIC = [
    *(echo_row(connections, size, pipeline) for connections in (1, 50, 500, 2_000, 10_000)
      for size in SIZES for pipeline in (1, 16)),
    Row("churn", "echo", "connect, one echo, close", targets=at_most(25, metric=CPU),
        load=("--mode", "churn", "--connections", "50"), quick=True),
    idle_row(5_000, at_most(700, metric="resident_bytes_per_connection"), quick=True),
    idle_row(19_000),  # a process may have 20,000 descriptors here
    Row("idle-150000", "echo", "150,000 idle connections to 8 processes", own=True, processes=8,
        load=("--mode", "idle", "--connections", "18750", "--duration", "15"), seconds=45),
]

WAKE_FLOOR = "floor: wake the other core and back (eventfd)"
MICRO = [
    micro("await", "await a ready child task", "ns", "await a ready child task",
          beside(7, asio=13.1),
          quick=True),
    micro("yield", "yield through the scheduler, 100 tasks in turn", "ns",
          "yield, 100 tasks in turn", beside(8, go=59),
          floor="floor: resume and suspend a bare coroutine", quick=True),
    micro("yield_alone", "the same, one task", "ns", "yield, one task", at_most(8)),
    micro("spawn_join", "spawn 1 M tasks, each yields once, join all", "ns",
          "spawn 1 M tasks, each yields once, join all: handles", beside(60, tokio=182),
          quick=True),
    micro("spawn_group", "the same in a task group", "ns",
          "spawn 1 M tasks, each yields once, join all: group", at_most(60)),
    micro("task_bytes", "bytes per parked task, everything counted", "B",
          "bytes per parked task, everything counted", at_most(144), quick=True),
    micro("sleepers", "1 M sleepers, 0-100 ms at random", "s",
          "1 M sleepers, 0-100 ms at random: wall", beside(0.7, asio=1.58), seconds=4,
          count=1_000_000, proportional=False),  # whatever their number, they sleep 0.1 s
    micro("timer", "timer create + cancel", "ns", "timer create + cancel", beside(12, go=305),
          quick=True),
    micro("gather10", "gather of 10 ready-after-one-yield children", "ns",
          "gather of 10 ready-after-one-yield children", beside(150, asyncio=33_000), quick=True),
    micro("skynet", "skynet, 1 M leaves", "ms", "skynet, 1 M leaves: gather of ten",
          beside(28, go=760),
          count=1_000_000),
    micro("fib27", "fib(27) by plain await", "ms", "fib(27) by plain await", beside(6, tokio=5.8)),
    micro("generator", "generator, per item", "ns", "generator, per item", beside(2, python=19.7),
          floor="floor: a call", quick=True),
    micro("post", "post from another thread, per item under load", "ns",
          "post from another thread, per item under load", beside(30, tokio=79), cores="0,1"),
    micro("wake", "wake a sleeping loop on the other core and back", "us",
          "wake a sleeping loop on the other core and back", at_most(1.1, "floor"),
          floor=WAKE_FLOOR, cores="0,1", quick=True),
    micro("wake_spin", "the same while both spin before they sleep", "us",
          "the same while both spin before they sleep", at_most(1.5), cores="0,1"),
    micro("offload", "offload round trip, CPU time", "us", "offload round trip, CPU time",
          beside(4, tokio=4.5), cores="0,1", quick=True),
    micro("offload_wall", "offload round trip, wall", "us", "offload round trip, wall",
          at_most(1.0, "tokio"), cores="0,1"),
]

SYNC = [
    sync("mutex", "mutex, uncontended lock + unlock", "ns", "mutex, uncontended lock+unlock",
         beside(4, go=10.9), quick=True),
    sync("mutex_handover", "mutex handed over between two tasks", "ns",
         "mutex, handed over between two tasks", at_most(20)),
    sync("event_pingpong", "event ping-pong", "ns", "event ping-pong", at_most(16)),
    sync("queue_1", "queue, capacity 1, per item", "ns", "queue, capacity 1, per item",
         beside(18, asyncio=5_613)),
    sync("queue_64", "queue, capacity 64, per item", "ns", "queue, capacity 64, per item",
         beside(6, asyncio=873), quick=True),
    sync("queue_unbounded", "queue, unbounded, per item", "ns", "queue, unbounded, per item",
         beside(5, asyncio=528)),
    sync("channel_0", "channel, capacity 0, per item", "ns", "channel, capacity 0, per item"),
    sync("channel_64", "channel, capacity 64, per item", "ns", "channel, capacity 64, per item"),
    sync("select", "select over two channels, per item", "ns",
         "select over two channels, per item"),
]

GREEN = [
    green("greenlet_switch", "switch by value (greenlet)", targets=at_most(6)),
    green("green_yield", "yield through the loop", targets=at_most(16)),
    green("green_spawn", "spawn + join, stack from the pool", targets=at_most(120)),
    green("green_bytes", "resident bytes per parked green thread", "B", at_most(4600)),
    green("green_parked", "parked at once", "", (Target("value", 100_000, least=True),)),
    green("hiredis", "hiredis commands a second, 100 green threads", "",
          (Target("value", 1.3, "threads", True),)),
]

PROCESS = [
    process("pool_roundtrip", "pool: one small call, there and back", "us",
            "process_pool: run, there and back", at_most(60)),
    process("pool_roundtrip_spin", "pool: one small call, there and back, spinning", "us",
            "process_pool: run, there and back, spinning"),
    process("pool_map_auto", "pool.map, per small item, automatic chunks", "us",
            "process_pool: map an item, automatic chunks", at_most(0.03)),
    process("pool_map_1", "pool.map, per small item, chunks of 1", "us",
            "process_pool: map an item, chunks of 1", at_most(1.5)),
    process("pool_squares", "pool: 1,000 squares", "us", "process_pool: 1,000 squares"),
    process("shm_queue", "shared queue, per item streaming", "us",
            "shm::queue, per item, between tasks of two processes", at_most(0.15)),
    process("shm_queue_pingpong", "shared queue, there and back", "us",
            "shm::queue ping-pong, tasks of two processes"),
    process("pipe_roundtrip", "pipe round trip, two cores", "us", "pipe<T> round trip, two cores",
            at_most(1.1, "floor"), floor="floor: socketpair round trip, two cores"),
    process("pipe_one_core", "pipe round trip, one core", "us", "pipe<T> round trip, one core",
            at_most(1.1, "floor"), floor="floor: socketpair round trip, one core"),
    process("shm_value", "shared value: add to it", "ns", "shm::value<size_t> fetch_add"),
    process("shm_mutex", "shared mutex, uncontended", "ns", "shm::mutex uncontended", at_most(25)),
    process("shm_mutex_contended", "shared mutex, two processes at it", "ns",
            "shm::mutex contended, tasks of two processes"),
    process("manager_set", "manager's dict: set", "us", "managed_dict set, one at a time",
            at_most(50)),
    process("manager_get", "manager's dict: get", "us", "managed_dict get, one at a time",
            at_most(50)),
    process("manager_set_64", "manager's dict: set, 64 in flight", "us",
            "managed_dict set, 64 at a time", at_most(3)),
    process("manager_get_64", "manager's dict: get, 64 in flight", "us",
            "managed_dict get, 64 at a time", at_most(3)),
    process("manager_method", "manager: a method of a user's class", "us",
            "manager: a method, one at a time", at_most(50)),
    process("manager_lock", "manager's mutex: lock and unlock", "us",
            "managed_mutex lock and unlock, one at a time"),
    process("process_start", "start a process and join it", "us",
            "process start + join, small parent", at_most(700),
            floor="floor: fork + waitpid, small parent"),
    process("process_start_large", "the same, of a parent of 256 MiB", "us",
            "process start + join, 256 MiB parent", at_most(700),
            floor="floor: fork + waitpid, 256 MiB parent", seconds=4),
]

SUM = "300 x 10^6 additions: "
SUM_BY_HAND = "floor: 300 x 10^6 additions, "
NO_THREADS = "a thread of Lariat's has a loop; one for work alone is std::thread, the floor's"
NAP = "1,000 sleepers of 2 s: "


def note(*arguments, **rest):
    rest.setdefault("cores", "0,1")
    return operation(arguments[0], "notes", *arguments[1:], **rest)


NOTES = [
    note("generator_1e8", "generator: 10^8 items made and taken", "s", "generator, 10^8 items",
         cores="0", count=100_000_000),
    note("cpu300_threads", "300 × 10^6 additions in 300 threads", "s", "", seconds=3,
         floor=SUM_BY_HAND + "300 threads by hand", missing=NO_THREADS),
    note("cpu300_processes", "300 × 10^6 additions in 300 processes", "s", SUM + "300 processes",
         seconds=3),
    note("cpu300_pool2", "300 × 10^6 additions by a pool of 2", "s", SUM + "process_pool(2)",
         at_most(0.55, metric="of_one_core"), seconds=3,
         floor=SUM_BY_HAND + "two threads by hand"),
    note("sleepers2s_tasks", "1,000 sleepers of 2 s: tasks", "s", NAP + "tasks in one process",
         at_most(2.003), seconds=4.5),
    note("sleepers2s_two", "1,000 sleepers of 2 s: tasks in 2 processes", "s",
         NAP + "tasks in 2 processes", at_most(2.01), seconds=4.5),
    note("sleepers2s_threads", "1,000 sleepers of 2 s: threads", "s", "", seconds=2.5,
         missing=NO_THREADS),
    note("sleepers2s_processes", "1,000 sleepers of 2 s: processes", "s", "", seconds=5,
         missing="Lariat's sleepers are tasks, and two processes have room for them all"),
    Row("sleepers2s_green", "notes", "1,000 sleepers of 2 s: green threads", "s", at_most(2.003),
        seconds=2.5, cores="0,1", missing="green threads are not built yet"),
]

HTTP = [
    Row("http_plain", "http", "plain-text answer, beside nginx's", "",
        (Target("value", 1.0, "nginx", True),), missing="there is no HTTP server yet"),
    # The server, by hand, is on core 1; whoever fetches is on core 0, with 100 connections at most.
    operation("fetch_fanout", "http", "fetch 1,000 small URLs at once", "ms",
              "fetch 1,000 small URLs at once",
              (Target("value", 1 / 3, "aiohttp"), Target("value", 1.0, "curl")), cores="0,1"),
]

COUNTS = (1_000, 10_000, 100_000, 1_000_000)
SCALE = [
    operation(f"{kind}_{count}", "scale", f"{title}, {count:,} at once", "ns",
              f"scale: {title}, {count} at once", seconds=seconds)
    for kind, title, seconds in (("scale_tasks", "spawn, yield, join a task", 1.5),
                                 ("scale_timers", "timer create + cancel", 1.5),
                                 ("scale_sleepers", "spawn a sleeper, wake, join", 1.5),
                                 ("scale_connections", "a simulated request", 8))
    for count in COUNTS
]

ROWS = [*TRAFFIC, *MICRO, *SYNC, *GREEN, *PROCESS, *NOTES, *HTTP, *SCALE]


def chosen(patterns, quick):
    """The rows whose id or room matches one of the patterns; none given: all, or the quick ones.

    Errors: ValueError that names a pattern nothing matches.
    """
    if not patterns:
        return [row for row in ROWS if row.quick or not quick]
    found = []
    for pattern in patterns:
        some = [row for row in ROWS if fnmatch.fnmatchcase(row.id, pattern) or row.room == pattern]
        if not some:
            raise ValueError(f"no row or room is called {pattern!r}")
        found += some
    return [row for row in ROWS if row in found]
