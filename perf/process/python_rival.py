#!/usr/bin/env python3
"""The work of micro_bench's group "process" in Python, by what its standard library has for it.

    python_rival.py --list
    python_rival.py [--short] NAME...       a JSON object a line: name, unit, value

Nothing runs but what is named, so that each can be measured beside what it is held against. --short
does a little of everything, to see that it works; its figures mean nothing.
"""

import argparse
import asyncio
import concurrent.futures
import json
import multiprocessing
import multiprocessing.managers
import os
import sys
import threading
import time

fork = multiprocessing.get_context("fork")  # the fastest of its ways to start
CALLS = 300
SLEEPERS = 1_000


class Scale:
    """How much of it is done."""

    def __init__(self, short):
        self.short = short

    def times(self, full):
        return max(full // 100, 10) if self.short else full

    additions = property(lambda self: 1_000 if self.short else 1_000_000)
    nap = property(lambda self: 0.02 if self.short else 2)
    large = property(lambda self: 1 << 20 if self.short else 256 << 20)
    calls = property(lambda self: 10 if self.short else CALLS)
    sleepers = property(lambda self: 20 if self.short else SLEEPERS)


RIVALS = {}


def rival(name, unit):
    def add(measure):
        RIVALS[name] = (unit, measure)
        return measure

    return add


def each(times, work, unit=1e6):
    """The time of one of them, in microseconds."""
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) / times * unit


def pin(core):
    if core < (os.cpu_count() or 1):
        os.sched_setaffinity(0, {core})


def square(n):
    return n * n


# Pools


@rival("Pool.apply", "us")
def pool_apply(scale):
    times = scale.times(2_000)
    with fork.Pool(1) as pool:
        pool.apply(square, (1,))
        return each(times, lambda: [pool.apply(square, (1,)) for _ in range(times)])


@rival("ProcessPoolExecutor.submit", "us")
def executor_submit(scale):
    times = scale.times(2_000)
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=fork) as pool:
        pool.submit(square, 1).result()
        return each(times, lambda: [pool.submit(square, 1).result() for _ in range(times)])


def pool_map(items, chunk):
    inputs = list(range(items))
    with fork.Pool(2) as pool:
        pool.map(square, inputs[:1000])
        return each(items, lambda: pool.map(square, inputs, chunk))


@rival("Pool.map", "us")
def pool_map_automatic(scale):
    return pool_map(scale.times(2_000_000), None)


@rival("Pool.map, chunksize=1", "us")
def pool_map_one(scale):
    return pool_map(scale.times(50_000), 1)


# Queues and pipes


def put_all(way, times):
    for i in range(times + 1):
        way.put(i)


@rival("Queue, per item", "us")
def queue_stream(scale):
    times = scale.times(100_000)
    way = fork.Queue(1024)
    child = fork.Process(target=put_all, args=(way, times))
    child.start()
    way.get()
    taken = each(times, lambda: [way.get() for _ in range(times)])
    child.join()
    return taken


def echo_queue(there, back):
    while (item := there.get()) is not None:
        back.put(item)


@rival("Queue, there and back", "us")
def queue_round_trip(scale):
    times = scale.times(5_000)
    there, back = fork.Queue(16), fork.Queue(16)
    child = fork.Process(target=echo_queue, args=(there, back))
    child.start()

    def trip():
        there.put(1)
        back.get()

    trip()
    taken = each(times, lambda: [trip() for _ in range(times)])
    there.put(None)
    child.join()
    return taken


def echo_pipe(end, core):
    pin(core)
    while (item := end.recv_bytes()) != b"":
        end.send_bytes(item)


def pipe_round_trip(times, core):
    before = os.sched_getaffinity(0)
    pin(0)
    ours, theirs = fork.Pipe()
    child = fork.Process(target=echo_pipe, args=(theirs, core))
    child.start()
    text = bytes(32)

    def trip():
        ours.send_bytes(text)
        ours.recv_bytes()

    trip()
    taken = each(times, lambda: [trip() for _ in range(times)])
    ours.send_bytes(b"")
    child.join()
    os.sched_setaffinity(0, before)
    return taken


@rival("Pipe, two cores", "us")
def pipe_two_cores(scale):
    return pipe_round_trip(scale.times(5_000), 1)


@rival("Pipe, one core", "us")
def pipe_one_core(scale):
    return pipe_round_trip(scale.times(5_000), 0)


# Locks


@rival("Lock, uncontended", "ns")
def lock_alone(scale):
    times = scale.times(200_000)
    lock = fork.Lock()

    def work():
        for _ in range(times):
            with lock:
                pass

    return each(times, work, 1e9)


def compete(lock, shared, begun, stop):
    begun.set()
    while not stop.value:
        with lock:
            shared.value += 1


@rival("Lock, contended", "ns")
def lock_contended(scale):
    times = scale.times(100_000)
    lock = fork.Lock()
    shared, stop = fork.RawValue("Q", 0), fork.RawValue("b", 0)
    begun = fork.Event()
    child = fork.Process(target=compete, args=(lock, shared, begun, stop))
    child.start()
    begun.wait()
    before = shared.value
    start = time.perf_counter()
    for _ in range(times):
        with lock:
            shared.value += 1
    taken = (time.perf_counter() - start) / (shared.value - before) * 1e9
    stop.value = 1
    child.join()
    return taken


# Processes


def nothing():
    pass


def start_and_join(times):
    def one():
        child = fork.Process(target=nothing)
        child.start()
        child.join()

    return each(times, lambda: [one() for _ in range(times)])


@rival("Process start + join, small parent", "us")
def start_small(scale):
    return start_and_join(scale.times(200))


@rival("Process start + join, 256 MiB parent", "us")
def start_large(scale):
    memory = bytearray(b"\1") * scale.large
    taken = start_and_join(scale.times(50))
    del memory
    return taken


# Managers


def with_managed_dict(times, verb):
    with fork.Manager() as manager:
        shared = manager.dict()
        shared[1] = 1
        return each(times, lambda: [verb(shared) for _ in range(times)])


@rival("Manager().dict() set", "us")
def manager_set(scale):
    return with_managed_dict(scale.times(5_000), lambda shared: shared.__setitem__(1, 2))


@rival("Manager().dict() get", "us")
def manager_get(scale):
    return with_managed_dict(scale.times(5_000), lambda shared: shared[1])


class Counter:
    """An object whose method is called from another process."""

    def __init__(self):
        self.value = 0

    def add(self, n):
        self.value += n
        return self.value


class CounterManager(multiprocessing.managers.BaseManager):
    pass


CounterManager.register("Counter", Counter)


@rival("BaseManager, a method", "us")
def manager_method(scale):
    times = scale.times(5_000)
    with CounterManager(ctx=fork) as manager:
        shared = manager.Counter()
        shared.add(1)
        return each(times, lambda: [shared.add(1) for _ in range(times)])


@rival("Manager().Lock()", "us")
def manager_lock(scale):
    times = scale.times(5_000)

    def work(lock):
        for _ in range(times):
            with lock:
                pass

    with fork.Manager() as manager:
        lock = manager.Lock()
        work(lock)
        return each(times, lambda: work(lock))


# What the notes measure


def add_up(to):
    total = 0
    for i in range(to):
        total += i
    return total


def of_one_core(scale, measure):
    begun = time.perf_counter()
    for _ in range(scale.calls):
        add_up(scale.additions)
    alone = time.perf_counter() - begun
    begun = time.perf_counter()
    measure()
    return (time.perf_counter() - begun) / alone


def all_of(kind, count, target, *arguments):
    workers = [kind(target=target, args=arguments) for _ in range(count)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


@rival("additions: one core", "s")
def additions_alone(scale):
    return each(1, lambda: [add_up(scale.additions) for _ in range(scale.calls)], 1)


@rival("additions: threads", "of one core")
def additions_in_threads(scale):
    work = (threading.Thread, scale.calls, add_up, scale.additions)
    return of_one_core(scale, lambda: all_of(*work))


@rival("additions: processes", "of one core")
def additions_in_processes(scale):
    work = (fork.Process, scale.calls, add_up, scale.additions)
    return of_one_core(scale, lambda: all_of(*work))


@rival("additions: Pool(2)", "of one core")
def additions_in_pool(scale):
    def work():
        with fork.Pool(2) as pool:
            pool.map(add_up, [scale.additions] * scale.calls)

    return of_one_core(scale, work)


async def nap_together(count, seconds):
    await asyncio.gather(*(asyncio.sleep(seconds) for _ in range(count)))


def run_naps(count, seconds):
    asyncio.run(nap_together(count, seconds))


@rival("sleepers: asyncio", "s")
def sleeping_tasks(scale):
    return each(1, lambda: run_naps(scale.sleepers, scale.nap), 1)


@rival("sleepers: threads", "s")
def sleeping_threads(scale):
    return each(1, lambda: all_of(threading.Thread, scale.sleepers, time.sleep, scale.nap), 1)


@rival("sleepers: processes", "s")
def sleeping_processes(scale):
    return each(1, lambda: all_of(fork.Process, scale.sleepers, time.sleep, scale.nap), 1)


@rival("sleepers: asyncio in 2 processes", "s")
def sleeping_in_two(scale):
    half = scale.sleepers // 2
    return each(1, lambda: all_of(fork.Process, 2, run_naps, half, scale.nap), 1)


def main():
    parser = argparse.ArgumentParser(description="the rivals of micro_bench --group process")
    parser.add_argument("--list", action="store_true", help="the names of what there is")
    parser.add_argument("--short", action="store_true", help="a little of it")
    parser.add_argument("names", nargs="*", metavar="NAME")
    chosen = parser.parse_args()
    unknown = [name for name in chosen.names if name not in RIVALS]
    if unknown:
        parser.error(f"no such rival: {unknown[0]}")
    if chosen.list:
        print("\n".join(RIVALS))
    scale = Scale(chosen.short)
    for name in chosen.names:
        unit, measure = RIVALS[name]
        value = measure(scale)
        print(json.dumps({"name": name, "unit": unit, "value": value}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
