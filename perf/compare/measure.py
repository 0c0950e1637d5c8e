"""One measurement: a contender does a row once. What comes of it is a plain record, a JSON line."""

import contextlib
import json
import os
import subprocess
import tempfile
import time
import typing

import figures
import noise
import programs

SERVER_CORE, LOAD_CORE = "0", "1"
# Of an echo cell's time: who answers nobody for so long in a row stood still. asyncio's streams at
# 10,000 connections were silent for a third of it, on a machine that others had three quarters of.
STILL = 0.4
OF_ONE_CORE = "of one core"  # a unit: so much of the time that one core takes for the work
IN_SECONDS = ", its last repeat"  # ends the name of the row that has the same run in seconds


class Settings(typing.NamedTuple):
    """What all measurements of a run have in common."""

    load: str  # the program echo_load
    duration: float = 2.0  # of an echo cell, in seconds
    warmup: float = 0.5
    limit: float = 90.0  # seconds that one may take


def measure(contender, row, number, settings):
    """The record of one run: `row`, `contender`, `round`, `foreign_share`, and either its figures
    or why it `failed`.
    """
    record = {"row": row.id, "contender": contender.name, "round": number}
    before = noise.now()
    try:
        work = traffic if row.load else operation
        record.update(work(contender, row, settings))
    except programs.Failed as failure:
        record["failed"] = str(failure)
    after = noise.now()
    record["foreign_share"] = round(noise.foreign_share(before, after), 4)
    record["seconds_taken"] = round(after.wall - before.wall, 3)
    return record


def traffic(contender, row, settings):
    """Starts servers on one core and loads each from the other."""
    with contextlib.ExitStack() as ending:
        servers = [listening(ending, contender) for _ in range(row.processes)]
        loads = [ending.enter_context(programs.started(
            load_argv(row, port, processes, settings), LOAD_CORE,
            output=subprocess.PIPE, told=subprocess.PIPE)) for port, processes in servers]
        at_once = connections_now(loads) if row.processes > 1 else 0
        # It ends with 1 when it has seen errors, which it tells of as well.
        found = [json.loads(programs.outcome(load, settings.limit, may_end=(0, 1)))
                 for load in loads]
        peak = sum(programs.peak_bytes(processes) for _, processes in servers)
    record = found[0] if len(found) == 1 else together(found, at_once)
    del record["label"]
    record["bytes_verified"] = record.pop("bytes")
    record["server_peak_bytes"] = peak
    wrong = wrong_with(record)
    if wrong:
        record["failed"] = wrong
    return record


def wrong_with(record):
    """Why the figures of traffic mean nothing; empty: they do."""
    if record["errors"]:
        return f"{record['errors']} errors: {record['first_error']}"
    if not record["server_peak_bytes"]:
        return "the server was gone at the end"
    if record["mode"] == "idle":
        return ""
    if not record["requests"]:
        return "no request was answered while it was measured"
    if not record["server_cpu_seconds"]:
        return "the server used no CPU time: somebody else answered"
    silence = record["longest_silence_seconds"]
    if silence > STILL * record["seconds"]:
        return f"nobody was answered for {silence:.2g} of {record['seconds']:.2g} s"
    return ""


def listening(ending, contender):
    """(port, processes) of a server that answers."""
    port = programs.free_port()
    told = ending.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace"))
    server = ending.enter_context(programs.started(
        [*contender.echo, str(port)], SERVER_CORE, contender.environment, told=told))
    programs.await_port(server, port, told)
    processes = programs.group_of(server.pid)
    if not programs.alone_listen(processes, port):
        raise programs.Failed(f"somebody else listens at port {port}")
    return port, processes


def load_argv(row, port, processes, settings):
    argv = [settings.load, "--port", str(port), "--json", "-",
            "--duration", str(settings.duration), "--warmup", str(settings.warmup)]
    for process in processes:
        argv += ["--server-pid", str(process)]
    return argv + list(row.load)


def connections_now(loads):
    """The most TCP connections of this machine while these run; a connection over loopback is two
    sockets.
    """
    most = 0
    while all(load.poll() is None for load in loads):
        with open("/proc/net/sockstat", encoding="ascii") as told:
            sockets = next(line.split()[2] for line in told if line.startswith("TCP:"))
        most = max(most, int(sockets) // 2)
        time.sleep(0.1)
    return most


def together(found, at_once):
    """One record of several that were measured at the same time, idle connections all.

    Errors: Failed when they were not all open at once.
    """
    record = dict(found[0])
    for key in ("connections", "requests", "bytes", "errors"):
        record[key] = sum(each[key] for each in found)
    for key in ("resident_bytes_per_connection", "data_bytes_per_connection"):
        record[key] = sum(each[key] for each in found) / len(found)
    if at_once < record["connections"]:
        raise programs.Failed(f"no more than {at_once:,} connections were open at once")
    record["first_error"] = next((each["first_error"] for each in found if each["errors"]), "")
    return record


def operation(contender, row, settings):
    """Runs a program that measures itself."""
    if contender.kind == "rival":
        return by_rival(contender, row, settings)
    name = row.ours if contender.kind == "lariat" else row.floor
    found = by_micro_bench(contender, row, name, settings)
    if found[name]["unit"] != OF_ONE_CORE:
        return {"value": value_of(found, name, row)}
    return {"value": value_of(found, name + IN_SECONDS, row),
            "of_one_core": found[name]["median"]}


def value_of(found, name, row):
    return figures.in_unit(found[name]["median"], found[name]["unit"], row.unit)


def by_micro_bench(contender, row, name, settings):
    """{row of micro_bench: its figures} of those whose name has this in it, `name` itself among
    them: each warms up once, then is measured once.
    """
    handle, path = tempfile.mkstemp(suffix=".json")
    os.close(handle)
    try:
        programs.run([contender.bench, "--filter", name, "--repeats", "1", "--json", path],
                     row.cores, settings.limit, contender.environment)
        with open(path, encoding="utf-8") as told:
            text = told.read()
    finally:
        os.unlink(path)
    found = {each["name"]: each for each in json.loads(text or "[]")}
    if name not in found:
        raise programs.Failed(f"micro_bench has no row {name!r} yet")
    return found


def by_rival(contender, row, settings):
    """The last JSON line that a rival's program prints; its further fields are kept."""
    printed = programs.run(contender.rows[row.id], row.cores, settings.limit)
    lines = [line for line in printed.splitlines() if line.startswith("{")]
    if not lines:
        raise programs.Failed("it printed no JSON line")
    try:
        found = json.loads(lines[-1])
        value, unit = float(found.pop("value")), found.pop("unit")
        if unit == OF_ONE_CORE:
            found["of_one_core"] = value
        else:
            found.update(of_all(row, figures.in_unit(value, unit, row.unit), found.get("n")))
    except (ValueError, KeyError, TypeError) as wrong:
        raise programs.Failed(f"it printed {lines[-1][:100]!r}: {wrong}") from wrong
    for key in ("row", "contender", "round"):
        found.pop(key, None)
    return found



def of_all(row, value, count):
    """A slow rival does fewer items: its figure is told of as many as the row's, if it can be, and
    else stands beside the others without being compared.
    """
    if not row.count or not count or count == row.count:
        return {"value": value}
    return {"value": value * row.count / count} if row.proportional else {"of_n": value}
