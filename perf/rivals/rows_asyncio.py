#!/usr/bin/python3
"""The rows of asyncio, on its own loop or on uvloop's: rows_asyncio.py [--uvloop] ROW."""

import asyncio
import inspect
import sys
import threading
import time

from rows_common import Watch, main, naps, pin, resident_bytes, row, wall

TASKS = 100_000
ITEMS = 200_000
SKYNET = 100_000


async def child(value):
    return value + 1


@row("await", "ns")
async def await_children():
    times = 1_000_000
    watch = Watch()
    value = 0
    for _ in range(times):
        value = await child(value)
    return watch.each(times)


async def yield_often(times):
    for _ in range(times):
        await asyncio.sleep(0)


@row("yield", "ns")
async def yield_in_company():
    company, times = 100, 3_000
    watch = Watch()
    await asyncio.gather(*(yield_often(times) for _ in range(company)))
    return watch.each(company * times)


@row("spawn_join", "ns", n=TASKS)
async def spawn_and_join():
    watch = Watch()
    tasks = [asyncio.create_task(yield_often(1)) for _ in range(TASKS)]
    for task in tasks:
        await task
    return watch.each(TASKS)


@row("task_bytes", "B", n=TASKS, warm=False)
async def bytes_a_parked_task():
    loop = asyncio.get_running_loop()
    never = []

    async def park():
        future = loop.create_future()
        never.append(future)
        await future

    before = resident_bytes()
    tasks = [asyncio.create_task(park()) for _ in range(TASKS)]
    await asyncio.sleep(0)
    value = (resident_bytes() - before) / TASKS
    for future in never:
        future.set_result(None)
    for task in tasks:
        await task
    return value


@row("sleepers", "s", n=TASKS)
async def sleepers():
    lengths = naps(TASKS)
    watch = wall()
    tasks = [asyncio.create_task(asyncio.sleep(length)) for length in lengths]
    for task in tasks:
        await task
    return watch.seconds()


@row("sleepers2s_tasks", "s", warm=False)
async def sleep_two_seconds():
    watch = wall()
    await asyncio.gather(*(asyncio.sleep(2) for _ in range(1_000)))
    return watch.seconds()


@row("timer", "ns")
async def create_and_cancel():
    loop = asyncio.get_running_loop()
    rounds, at_once = 200, 1_000
    watch = Watch()
    for _ in range(rounds):
        for _ in range(at_once):
            loop.call_later(3600, int).cancel()
        await asyncio.sleep(0)  # the loop removes what was cancelled
    return watch.each(rounds * at_once)


@row("gather10", "ns")
async def gather_ten():
    rounds = 10_000
    watch = Watch()
    for _ in range(rounds):
        await asyncio.gather(*(yield_often(1) for _ in range(10)))
    return watch.each(rounds)


async def tree(first, size):
    if size == 1:
        return first
    part = size // 10
    return sum(await asyncio.gather(*(tree(first + i * part, part) for i in range(10))))


@row("skynet", "ms", n=SKYNET)
async def skynet():
    watch = Watch()
    if await tree(0, SKYNET) != SKYNET * (SKYNET - 1) // 2:
        raise RuntimeError("skynet: wrong sum")
    return watch.seconds() * 1e3


async def fib(n):
    if n < 2:
        return n
    return await fib(n - 1) + await fib(n - 2)


@row("fib27", "ms")
async def fib_27():
    watch = Watch()
    await fib(27)
    return watch.seconds() * 1e3


# What tasks wait for each other with


@row("mutex", "ns")
async def lock_and_unlock():
    lock = asyncio.Lock()
    watch = Watch()
    for _ in range(ITEMS):
        async with lock:
            pass
    return watch.each(ITEMS)


@row("mutex_handover", "ns")
async def hand_over():
    lock = asyncio.Lock()

    async def lock_often(times):
        for _ in range(times):
            async with lock:
                pass

    await lock.acquire()
    both = [asyncio.create_task(lock_often(ITEMS // 2)) for _ in range(2)]
    await asyncio.sleep(0)
    watch = Watch()
    lock.release()
    await asyncio.gather(*both)
    return watch.each(ITEMS)


@row("event_pingpong", "ns")
async def ping_pong():
    ping, pong = asyncio.Event(), asyncio.Event()

    async def ask(times):
        for _ in range(times):
            ping.set()
            await pong.wait()
            pong.clear()

    async def answer(times):
        for _ in range(times):
            await ping.wait()
            ping.clear()
            pong.set()

    watch = Watch()
    await asyncio.gather(ask(ITEMS // 2), answer(ITEMS // 2))
    return watch.each(ITEMS)


async def through_queue(capacity):
    way = asyncio.Queue(capacity)

    async def put_all():
        for i in range(ITEMS):
            await way.put(i)

    async def get_all():
        for _ in range(ITEMS):
            await way.get()

    watch = Watch()
    await asyncio.gather(put_all(), get_all())
    return watch.each(ITEMS)


@row("queue_1", "ns")
async def queue_of_one():
    return await through_queue(1)


@row("queue_64", "ns")
async def queue_of_64():
    return await through_queue(64)


@row("queue_unbounded", "ns")
async def unbounded_queue():
    return await through_queue(0)


# Threads


@row("post", "ns")
async def posts_under_load():
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    run = 0

    def call():
        nonlocal run
        run += 1
        if run == ITEMS:
            done.set()

    def produce():
        for _ in range(ITEMS):
            loop.call_soon_threadsafe(call)

    producer = threading.Thread(target=produce)
    watch = wall()
    producer.start()
    await done.wait()
    value = watch.each(ITEMS)
    producer.join()
    return value


@row("wake", "us")
async def wake_and_back():
    """Two loops, each asleep while the other works."""
    rounds = 5_000
    near = asyncio.get_running_loop()
    far = asyncio.new_event_loop()
    done = asyncio.Event()
    left = rounds

    def stay():
        pin(1)
        far.run_forever()

    def serve():
        nonlocal left
        left -= 1
        if left < 0:
            done.set()
        else:
            far.call_soon_threadsafe(near.call_soon_threadsafe, serve)

    pin(0)
    other = threading.Thread(target=stay)
    other.start()
    watch = wall()
    serve()
    await done.wait()
    value = watch.each(rounds, 1e6)
    far.call_soon_threadsafe(far.stop)
    other.join()
    far.close()
    return value


@row("offload", "us")
async def offload_round_trips():
    rounds = 5_000
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, int)
    watch = Watch(time.process_time)
    for _ in range(rounds):
        await loop.run_in_executor(None, int)
    return watch.each(rounds, 1e6)


def run(measure):
    assert inspect.iscoroutinefunction(measure)
    return asyncio.run(measure())


if __name__ == "__main__":
    if "--uvloop" in sys.argv:
        import uvloop

        uvloop.install()
    main(run)
