#!/usr/bin/python3
"""The rows of gevent, and of greenlet below it: rows_gevent.py ROW."""

import gevent
import gevent.event
import gevent.hub
import gevent.lock
import gevent.queue
import greenlet

from rows_common import Watch, main, naps, resident_bytes, row, wall

TASKS = 20_000
ITEMS = 200_000
PARKED = 10_000


@row("greenlet_switch", "ns")
def switch_by_value():
    """A value goes to a greenlet and another comes back: two switches."""
    switches = 2_000_000
    here = greenlet.getcurrent()

    def other(value):
        while True:
            value = here.switch(value)

    there = greenlet.greenlet(other)
    there.switch(0)
    watch = Watch()
    for i in range(switches // 2):
        there.switch(i)
    return watch.each(switches)


def yield_often(times):
    for _ in range(times):
        gevent.sleep(0)


@row("yield", "ns")
@row("green_yield", "ns")
def yield_in_company():
    company, times = 100, 3_000
    watch = Watch()
    gevent.joinall([gevent.spawn(yield_often, times) for _ in range(company)])
    return watch.each(company * times)


@row("green_spawn", "ns")
def spawn_then_join():
    times = 50_000
    watch = Watch()
    for _ in range(times):
        gevent.spawn(int).join()
    return watch.each(times)


@row("spawn_join", "ns", n=TASKS)
def spawn_and_join():
    watch = Watch()
    gevent.joinall([gevent.spawn(yield_often, 1) for _ in range(TASKS)])
    return watch.each(TASKS)


@row("green_bytes", "B", n=PARKED, warm=False)
@row("task_bytes", "B", n=PARKED, warm=False)
def bytes_a_parked_greenlet():
    """Parked in the hub itself, where all waits of gevent end: an Event's takes 8 KiB."""
    hub = gevent.hub.get_hub()
    before = resident_bytes()
    parked = [gevent.spawn(hub.switch) for _ in range(PARKED)]
    gevent.sleep(0)
    value = (resident_bytes() - before) / PARKED
    for each in parked:
        hub.loop.run_callback(each.switch)
    gevent.joinall(parked)
    return value


@row("sleepers", "s", n=TASKS)
def sleepers():
    lengths = naps(TASKS)
    watch = wall()
    gevent.joinall([gevent.spawn(gevent.sleep, length) for length in lengths])
    return watch.seconds()


@row("sleepers2s_green", "s", warm=False)
def sleep_two_seconds():
    watch = wall()
    gevent.joinall([gevent.spawn(gevent.sleep, 2) for _ in range(1_000)])
    return watch.seconds()


@row("timer", "ns")
def create_and_cancel():
    loop = gevent.hub.get_hub().loop
    times = 200_000
    watch = Watch()
    for _ in range(times):
        timer = loop.timer(3600)
        timer.start(int)
        timer.close()
    return watch.each(times)


@row("mutex", "ns")
def lock_and_unlock():
    lock = gevent.lock.BoundedSemaphore(1)
    watch = Watch()
    for _ in range(ITEMS):
        with lock:
            pass
    return watch.each(ITEMS)


@row("event_pingpong", "ns")
def ping_pong():
    ping, pong = gevent.event.Event(), gevent.event.Event()

    def ask(times):
        for _ in range(times):
            ping.set()
            pong.wait()
            pong.clear()

    def answer(times):
        for _ in range(times):
            ping.wait()
            ping.clear()
            pong.set()

    watch = Watch()
    halves = [gevent.spawn(ask, ITEMS // 2), gevent.spawn(answer, ITEMS // 2)]
    gevent.joinall(halves, raise_error=True)
    return watch.each(ITEMS)


def through_queue(capacity):
    way = gevent.queue.Queue(capacity)

    def put_all():
        for i in range(ITEMS):
            way.put(i)

    def get_all():
        for _ in range(ITEMS):
            way.get()

    watch = Watch()
    gevent.joinall([gevent.spawn(put_all), gevent.spawn(get_all)], raise_error=True)
    return watch.each(ITEMS)


@row("queue_1", "ns")
def queue_of_one():
    return through_queue(1)


@row("queue_64", "ns")
def queue_of_64():
    return through_queue(64)


@row("queue_unbounded", "ns")
def unbounded_queue():
    return through_queue(None)


@row("offload", "us")
def offload_round_trips():
    rounds = 5_000
    pool = gevent.hub.get_hub().threadpool
    pool.apply(int)
    watch = Watch()
    for _ in range(rounds):
        pool.apply(int)
    return watch.each(rounds, 1e6)


if __name__ == "__main__":
    main()
