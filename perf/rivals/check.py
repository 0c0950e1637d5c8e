#!/usr/bin/env python3
"""Shows that the rivals work: check.py [--build DIR] [--load ECHO_LOAD] [--rows] [NAME...]

Builds each, drives each server for half a second with echo_load, which checks every byte, and with
--rows runs each row once. Its figures are not a comparison; perf/compare.sh makes that. Exit status
1: something did not work. A rival that is not installed or does not build is reported, and the
others go on.
"""

import argparse
import json
import pathlib
import socket
import subprocess
import sys
import time

import registry

CELLS = {
    "small": ["--connections", "50", "--size", "64", "--pipeline", "16"],
    "large": ["--connections", "10", "--size", "1000000", "--pipeline", "4"],
    "churn": ["--mode", "churn", "--connections", "50"],
    "idle": ["--mode", "idle", "--connections", "1000"],
}
PATIENCE = 600  # seconds for one row, or a build's command


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def await_port(port, server):
    """Whether the server answers within ten seconds."""
    for _ in range(500):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return True
        except ConnectionRefusedError:
            if server.poll() is not None:
                return False
            time.sleep(0.02)
    return False


def finished(command):
    """What the command did; a failure too where it is not there, or takes too long."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired) as failure:
        return subprocess.CompletedProcess(command, 1, "", str(failure))


def builds(rival, outdir):
    for command in rival.build(outdir):
        done = finished(command)
        if done.returncode != 0:
            print(f"{rival.name}: not built: {done.stderr.strip()[-400:]}")
            return False
    return True


def echoes(rival, outdir, load):
    """Whether every cell came back whole from the server."""
    port = free_port()
    try:
        server = subprocess.Popen([*registry.fill(rival.echo, outdir), str(port)])
    except OSError as missing:
        print(f"{rival.name}: {missing}")
        return False
    with server:
        try:
            if not await_port(port, server):
                print(f"{rival.name}: the server did not start")
                return False
            return all([drives(rival, load, port, server.pid, cell) for cell in CELLS])
        finally:
            server.kill()


def drives(rival, load, port, pid, cell):
    command = [load, "--port", str(port), "--server-pid", str(pid), "--duration", "0.5",
               "--warmup", "0.1", *CELLS[cell]]
    done = finished(command)
    print(f"{rival.name} {cell}: {done.stderr.strip()}")
    return done.returncode == 0


def measures(rival, outdir, row):
    """Whether the row's command prints what it should."""
    command = registry.fill(rival.rows[row], outdir)
    done = finished(command)
    try:
        found = json.loads(done.stdout)
        good = done.returncode == 0 and found["row"] == row and found["value"] > 0
    except (ValueError, KeyError):
        good = False
    print(f"{rival.name}: {done.stdout.strip() if good else row + ': ' + done.stderr[-400:]}",
          flush=True)
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build-perf/rivals", type=pathlib.Path)
    parser.add_argument("--load", help="echo_load; without it no server is driven")
    parser.add_argument("--rows", action="store_true", help="run each row once")
    parser.add_argument("names", nargs="*", metavar="NAME")
    chosen = parser.parse_args()
    outdir = chosen.build.resolve()
    outdir.mkdir(parents=True, exist_ok=True)
    good = True
    for rival in registry.RIVALS:
        if chosen.names and rival.name not in chosen.names:
            continue
        if not builds(rival, outdir):
            good = False
            continue
        if rival.echo and chosen.load:
            good &= echoes(rival, outdir, chosen.load)
        if chosen.rows:
            good &= all([measures(rival, outdir, row) for row in rival.rows])
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
