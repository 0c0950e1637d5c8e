"""The rivals, as data: what Debian calls them, how they are built, and how they are run.

In every argv {build} stands for the folder that build() was given and {here} for this one; fill()
puts them in. Building one does not need another, and one whose packages are missing is unusable
alone. Servers take the port as one more argument and listen at 127.0.0.1. A row's command runs it
once and prints a line of JSON: {"row", "value", "unit"}, and "n" where it did another number of
them than the row's name says (a value in ns, us or B is for each all the same; one in ms or s is
for that many together).
"""

import os
import pathlib
import typing

HERE = pathlib.Path(__file__).resolve().parent

# Rows whose work takes two cores: whoever pins their command gives it both. All others take one.
# `wake` and the pipes pin each of their sides themselves.
TWO_CORES = frozenset({
    "post", "wake", "offload", "offload_wall", "cpu300_threads", "cpu300_processes",
    "cpu300_pool2", "sleepers2s_processes", "sleepers2s_two", "pool_roundtrip",
    "pool_map_auto", "pool_map_1", "pool_squares", "shm_queue", "shm_queue_pingpong",
    "shm_value", "shm_mutex", "shm_mutex_contended", "pipe_roundtrip", "pipe_one_core",
    "process_start", "process_start_large", "manager_set", "manager_get", "manager_method",
    "manager_lock", "fetch_fanout",
})

PYTHON = ["/usr/bin/python3", "-B"]  # Debian's: only it has Debian's modules
CC = os.environ.get("CC", "clang-19").split()
CXX = os.environ.get("CXX", "clang++-19").split()
# What fetches has the same server as Lariat's micro_bench, which it starts on core 1.
ON_ONE = ["taskset", "-c", "0"]
FETCH_SERVER = "../floor/floor_http.cpp"
# Lariat's release has -O3 alone: what it checks, it checks in every build.
OPTIMIZED = ["-O3", "-DNDEBUG"]
CXXFLAGS = ["-std=c++20", *OPTIMIZED, "-I{here}/../floor", "-I{here}/../micro"]
BENCH = "{here}/../micro/bench.cpp"  # clocks, memory and pinning of the rows in C++


class Rival(typing.NamedTuple):
    name: str
    title: str
    packages: list  # of Debian
    version: list  # the command that prints it
    commands: list = []  # that build it, in this order; as templates
    echo: list = None  # the server; it takes the port as one more argument
    rows: dict = {}  # {row id: the command}

    def build(self, outdir):
        """The commands that build it into `outdir`, to be run in this order."""
        return [fill(command, outdir) for command in self.commands]


def fill(command, outdir):
    """The command with its paths."""
    paths = (("{build}", str(outdir)), ("{here}", str(HERE)))
    filled = []
    for word in command:
        for name, path in paths:
            word = word.replace(name, path)
        filled.append(word)
    return filled


def python(program, *options):
    return [*PYTHON, "{here}/" + program, *options]


def rows_of(command, ids):
    return {row: [*command, row] for row in ids.split()}


def version_of(package):
    return ["dpkg-query", "-W", "-f", "${Version}\n", package]


def version_of_module(name):
    return [*PYTHON, "-c", f"import {name}; print({name}.__version__)"]


def compiled(program, out, *flags, sources=()):
    """The command that compiles a program in C or C++."""
    source = "{here}/" + program
    compiler = [*CC, *OPTIMIZED] if program.endswith(".c") else [*CXX, *CXXFLAGS]
    return [*compiler, source, *sources, "-o", "{build}/" + out, *flags]


def go(program, *files):
    """The command that compiles a program in Go; its caches lie beside it."""
    sources = ["{here}/go/" + program + "/" + file for file in files]
    places = ["GOCACHE={build}/go-cache", "GOPATH={build}/go-path", "GO111MODULE=off"]
    return ["env", *places, "/usr/bin/go", "build", "-trimpath", "-o", "{build}/go_" + program,
            *sources]


# In a copy, as cargo writes beside the manifest. Its configuration says that crates are Debian's.
CARGO = ["env", "CARGO_HOME={build}/tokio/.cargo", "RUSTC=/usr/bin/rustc", "/usr/bin/cargo",
         "build", "--release", "--manifest-path", "{build}/tokio/Cargo.toml",
         "--target-dir", "{build}/tokio/target"]

ASYNCIO_ROWS = (
    "await yield spawn_join task_bytes sleepers sleepers2s_tasks timer gather10 skynet fib27 mutex"
    " mutex_handover event_pingpong queue_1 queue_64 queue_unbounded post wake offload")

RIVALS = [
    Rival(
        name="asyncio",
        title="Python asyncio",
        packages=["python3"],
        version=[*PYTHON, "--version"],
        echo=python("echo_asyncio.py"),
        rows=rows_of(python("rows_asyncio.py"), ASYNCIO_ROWS),
    ),
    Rival(
        name="asyncio_streams",
        title="Python asyncio, streams",
        packages=["python3"],
        version=[*PYTHON, "--version"],
        echo=python("echo_asyncio_streams.py"),
    ),
    Rival(
        name="uvloop",
        title="Python uvloop",
        packages=["python3", "python3-uvloop"],
        version=version_of_module("uvloop"),
        echo=python("echo_asyncio.py", "--uvloop"),
        rows=rows_of(python("rows_asyncio.py", "--uvloop"), ASYNCIO_ROWS),
    ),
    Rival(
        name="aiohttp",
        title="Python aiohttp",
        packages=["python3", "python3-aiohttp"],
        version=version_of_module("aiohttp"),
        commands=[compiled(FETCH_SERVER, "floor_http")],
        rows=rows_of([*ON_ONE, *python("rows_fetch.py", "{build}/floor_http", "aiohttp")],
                     "fetch_fanout"),
    ),
    Rival(
        name="curl",
        title="curl --parallel, each body into a file",
        packages=["python3", "curl"],
        version=["curl", "--version"],
        commands=[compiled(FETCH_SERVER, "floor_http")],
        rows=rows_of([*ON_ONE, *python("rows_fetch.py", "{build}/floor_http", "curl")],
                     "fetch_fanout"),
    ),
    Rival(
        name="gevent",
        title="Python gevent",
        packages=["python3", "python3-gevent", "python3-greenlet"],
        version=version_of_module("gevent"),
        echo=python("echo_gevent.py"),
        rows=rows_of(
            python("rows_gevent.py"),
            "greenlet_switch yield green_yield green_spawn green_bytes spawn_join task_bytes"
            " sleepers sleepers2s_green timer mutex event_pingpong queue_1 queue_64"
            " queue_unbounded offload"),
    ),
    Rival(
        name="python",
        title="Python threads and multiprocessing",
        packages=["python3"],
        version=[*PYTHON, "--version"],
        echo=python("echo_threads.py"),
        rows=rows_of(
            python("rows_python.py"),
            "generator generator_1e8 cpu300_threads cpu300_processes cpu300_pool2"
            " sleepers2s_threads sleepers2s_processes mutex pool_roundtrip pool_map_auto"
            " pool_map_1 pool_squares shm_queue shm_queue_pingpong shm_value shm_mutex"
            " shm_mutex_contended"
            " pipe_roundtrip pipe_one_core process_start process_start_large manager_set"
            " manager_get manager_method manager_lock sleepers2s_two"),
    ),
    Rival(
        name="libuv",
        title="libuv",
        packages=["libuv1-dev"],
        version=version_of("libuv1-dev"),
        commands=[compiled("echo_libuv.c", "libuv_echo", "-luv")],
        echo=["{build}/libuv_echo"],
    ),
    Rival(
        name="libevent",
        title="libevent, bufferevents",
        packages=["libevent-dev"],
        version=version_of("libevent-dev"),
        commands=[compiled("echo_libevent.c", "libevent_echo", "-levent")],
        echo=["{build}/libevent_echo"],
    ),
    Rival(
        name="libevent_events",
        title="libevent, plain events",
        packages=["libevent-dev"],
        version=version_of("libevent-dev"),
        commands=[compiled("echo_libevent_events.c", "libevent_events_echo", "-levent")],
        echo=["{build}/libevent_events_echo"],
    ),
    Rival(
        name="asio",
        title="Asio coroutines, epoll",
        packages=["libasio-dev"],
        version=version_of("libasio-dev"),
        # Asio before 1.24 does not know that Clang has C++20's coroutines.
        commands=[
            compiled("echo_asio.cpp", "asio_echo", "-DASIO_HAS_CO_AWAIT=1", "-pthread"),
            compiled("rows_asio.cpp", "asio_rows", "-DASIO_HAS_CO_AWAIT=1", "-pthread",
                     sources=[BENCH]),
        ],
        echo=["{build}/asio_echo"],
        rows=rows_of(
            ["{build}/asio_rows"],
            "await yield spawn_join task_bytes sleepers sleepers2s_tasks timer gather10 fib27 post"
            " wake offload"),
    ),
    Rival(
        name="asio_uring",
        title="Asio coroutines, io_uring",
        packages=["libasio-dev", "liburing-dev"],
        version=version_of("libasio-dev"),
        commands=[
            compiled("echo_asio.cpp", "asio_uring_echo", "-DASIO_HAS_CO_AWAIT=1",
                     "-DASIO_HAS_IO_URING=1", "-DASIO_DISABLE_EPOLL=1", "-pthread", "-luring"),
        ],
        echo=["{build}/asio_uring_echo"],
    ),
    Rival(
        name="boost_fiber",
        title="Boost.Fiber, on an epoll scheduler",
        # 1.81 and matplotlib, whose SciPy wants the headers of 1.74, exclude each other.
        packages=["libboost-fiber1.74-dev", "libboost-context1.74-dev"],
        version=version_of("libboost-fiber1.74-dev"),
        commands=[
            compiled("echo_fiber.cpp", "fiber_echo", "-lboost_fiber", "-lboost_context"),
            compiled("rows_fiber.cpp", "fiber_rows", "-lboost_fiber", "-lboost_context",
                     sources=[BENCH]),
        ],
        echo=["{build}/fiber_echo"],
        rows=rows_of(
            ["{build}/fiber_rows"],
            "greenlet_switch yield green_yield green_spawn green_bytes sleepers2s_green mutex"
            " event_pingpong queue_1 queue_64 queue_unbounded"),
    ),
    Rival(
        name="go",
        title="Go, GOMAXPROCS=1",
        packages=["golang-go"],
        version=["/usr/bin/go", "version"],
        commands=[
            go("echo", "main.go"),
            go("rows", "main.go", "sync.go", "tasks.go"),
            go("fetch", "main.go"),
            compiled(FETCH_SERVER, "floor_http"),
        ],
        echo=["{build}/go_echo"],
        rows=rows_of(
            ["{build}/go_rows"],
            "greenlet_switch yield green_yield green_spawn green_bytes spawn_join task_bytes"
            " sleepers sleepers2s_tasks sleepers2s_green timer gather10 skynet generator"
            " generator_1e8 mutex mutex_handover event_pingpong queue_1 queue_64 queue_unbounded"
            " channel_0 channel_64 select post wake")
        | rows_of([*ON_ONE, "{build}/go_fetch", "{build}/floor_http"], "fetch_fanout"),
    ),
    Rival(
        name="tokio",
        title="Tokio, current_thread",
        packages=["cargo", "librust-tokio-dev"],
        version=version_of("librust-tokio-dev"),
        commands=[["cp", "-rT", "{here}/tokio", "{build}/tokio"], CARGO],
        echo=["{build}/tokio/target/release/echo"],
        rows=rows_of(
            ["{build}/tokio/target/release/rows"],
            "await yield spawn_join task_bytes sleepers sleepers2s_tasks timer gather10 skynet"
            " fib27 mutex mutex_handover event_pingpong queue_1 queue_64 queue_unbounded channel_64"
            " select post wake offload offload_wall"),
    ),
    Rival(
        name="node",
        title="Node",
        packages=["nodejs"],
        version=["node", "--version"],
        commands=[compiled(FETCH_SERVER, "floor_http")],
        echo=["node", "{here}/echo_node.js"],
        rows=rows_of([*ON_ONE, "node", "{here}/rows_fetch.js", "{build}/floor_http"],
                     "fetch_fanout"),
    ),
]
