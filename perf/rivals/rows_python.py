#!/usr/bin/python3
"""The rows of Python alone, without a loop: generators, threads, processes: rows_python.py ROW.

What processes do is measured as perf/process/python_rival.py does it.
"""

import multiprocessing
import pathlib
import sys
import threading
import time

from rows_common import Watch, main, row, wall

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "process"))
import python_rival  # noqa: E402  pylint: disable=wrong-import-position

fork = multiprocessing.get_context("fork")  # the fastest of its ways to start
CALLS = 300
ADDITIONS = 1_000_000
SLEEPERS = 1_000
SQUARES = 1_000


def count_to(end):
    yield from range(end)


@row("generator", "ns")
def generate(items=5_000_000):
    """Nanoseconds for each item that a generator makes and a loop takes."""
    total = 0
    watch = Watch()
    for item in count_to(items):
        total += item
    return watch.each(items)


@row("generator_1e8", "s")
def produce_for_a_consumer():
    items = 100_000_000
    return generate(items) * items / 1e9


def all_of(kind, count, target, *arguments):
    watch = wall()
    workers = [kind(target=target, args=arguments) for _ in range(count)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return watch.seconds()


@row("cpu300_threads", "s")
def additions_in_threads():
    return all_of(threading.Thread, CALLS, python_rival.add_up, ADDITIONS)


@row("cpu300_processes", "s")
def additions_in_processes():
    return all_of(fork.Process, CALLS, python_rival.add_up, ADDITIONS)


@row("cpu300_pool2", "s")
def additions_in_a_pool():
    watch = wall()
    with fork.Pool(2) as pool:
        pool.map(python_rival.add_up, [ADDITIONS] * CALLS)
    return watch.seconds()


@row("sleepers2s_threads", "s", warm=False)
def sleeping_threads():
    return all_of(threading.Thread, SLEEPERS, time.sleep, 2)


@row("sleepers2s_processes", "s", warm=False)
def sleeping_processes():
    return all_of(fork.Process, SLEEPERS, time.sleep, 2)


@row("pool_squares", "us")
def thousand_squares():
    """All of it: a pool is made, maps a thousand squares, and ends."""
    watch = wall()
    with fork.Pool(2) as pool:
        squares = pool.map(python_rival.square, range(SQUARES))
    if squares[-1] != (SQUARES - 1) ** 2:
        raise RuntimeError("a wrong square")
    return watch.seconds() * 1e6


@row("mutex", "ns")
def lock_and_unlock():
    times = 1_000_000
    lock = threading.Lock()
    watch = Watch()
    for _ in range(times):
        with lock:
            pass
    return watch.each(times)


@row("shm_value", "ns")
def add_to_a_shared_value():
    times = 200_000
    shared = fork.Value("Q", 0)
    watch = Watch()
    for _ in range(times):
        with shared.get_lock():
            shared.value += 1
    return watch.each(times)


SAME_AS = {
    "pool_roundtrip": "ProcessPoolExecutor.submit",  # faster than Pool.apply
    "pool_map_auto": "Pool.map",
    "pool_map_1": "Pool.map, chunksize=1",
    "shm_queue": "Queue, per item",
    "shm_queue_pingpong": "Queue, there and back",
    "shm_mutex": "Lock, uncontended",
    "shm_mutex_contended": "Lock, contended",
    "pipe_roundtrip": "Pipe, two cores",
    "pipe_one_core": "Pipe, one core",
    "process_start": "Process start + join, small parent",
    "process_start_large": "Process start + join, 256 MiB parent",
    "manager_set": "Manager().dict() set",
    "manager_get": "Manager().dict() get",
    "manager_method": "BaseManager, a method",
    "manager_lock": "Manager().Lock()",
    "sleepers2s_two": "sleepers: asyncio in 2 processes",
}


def measure_as(name):
    _, measure = python_rival.RIVALS[name]
    return lambda: measure(python_rival.Scale(short=False))


for row_id, its_name in SAME_AS.items():
    only_waits = row_id == "sleepers2s_two"
    row(row_id, python_rival.RIVALS[its_name][0], warm=not only_waits)(measure_as(its_name))


if __name__ == "__main__":
    main()
