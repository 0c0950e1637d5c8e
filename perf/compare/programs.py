"""Starts programs on cores of their choice, and sees to it that they end with what started them."""

import contextlib
import os
import pathlib
import resource
import signal
import socket
import subprocess
import time


class Failed(Exception):
    """A program did not do what it was started for; the text says which and why."""


def allow_all_descriptors():
    """For this program and all that it starts."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def stop_on_signals():
    """SIGTERM and SIGHUP end this program as Ctrl-C does: what it has started is ended."""
    def stop(_number, _frame):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGHUP, stop)


@contextlib.contextmanager
def started(argv, cores, environment=(), output=subprocess.DEVNULL, told=subprocess.DEVNULL):
    """A program, the leader of a process group of its own, which is killed as a whole at the end.

    The kernel kills it as well if this program is killed itself (PR_SET_PDEATHSIG, by setpriv).
    Errors: Failed when it cannot be started.
    """
    command = ["setpriv", "--pdeathsig", "KILL", "taskset", "-c", cores, *argv]
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=told,
                                 text=True, start_new_session=True,
                                 env={**os.environ, **dict(environment)})
    except OSError as failure:
        raise Failed(str(failure)) from failure
    try:
        yield child
    finally:
        end(child)


def end(child):
    """Ends a program's process group: first with SIGTERM, after a second with SIGKILL."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(1)
    child.wait()
    for stream in (child.stdout, child.stderr):
        if stream:
            stream.close()


def run(argv, cores, seconds, environment=()):
    """What a program prints. Errors: as outcome."""
    with started(argv, cores, environment, subprocess.PIPE, subprocess.PIPE) as child:
        return outcome(child, seconds)


def outcome(child, seconds, may_end=(0,)):
    """What a started program prints until its end. Errors: Failed when it takes longer than that,
    ends with a status that is none of `may_end`, or with another than 0 and nothing printed.
    """
    try:
        printed, complained = child.communicate(timeout=seconds)
    except subprocess.TimeoutExpired as late:
        raise Failed(f"not done after {seconds:g} s") from late
    if child.returncode not in may_end or (child.returncode and not printed.strip()):
        raise Failed(why(child.returncode, complained))
    return printed


def why(code, complained):
    """An exit status and the last line of what was said, in a few words."""
    lines = [line.strip() for line in (complained or "").splitlines() if line.strip()]
    how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
    return f"{how}: {lines[-1][:200]}" if lines else how


def group_of(leader):
    """The processes of a group."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError, IndexError):
            # Behind the name in brackets: state, parent, group (proc_pid_stat(5)).
            fields = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            if int(fields[2]) == leader:
                found.append(int(entry.name))
    return sorted(found)


def peak_bytes(processes):
    """The most resident memory each of them has had so far (VmHWM), summed up."""
    total = 0
    for process in processes:
        with contextlib.suppress(OSError):
            text = pathlib.Path(f"/proc/{process}/status").read_text(encoding="utf-8")
            total += sum(int(line.split()[1]) * 1024 for line in text.splitlines()
                         if line.startswith("VmHWM:"))
    return total


def alone_listen(processes, port):
    """Whether these listen at a port, and nobody else: a port that was taken answers as well, for
    a server that is about to find it taken.
    """
    sockets = listeners(port)
    return bool(sockets) and sockets <= set().union(*map(opened, processes))


def listeners(port):
    """The sockets that listen at a port of this machine, as /proc names them."""
    found = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError), open(f"/proc/net/{table}", encoding="ascii") as lines:
            # Slot, local address, remote address, state (10: listens), ..., inode (proc_net(5)).
            for fields in map(str.split, lines):
                if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                    found.add(f"socket:[{fields[9]}]")
    return found


def opened(process):
    """The files and sockets of a process, as /proc names them."""
    found = set()
    with contextlib.suppress(OSError):
        for link in pathlib.Path(f"/proc/{process}/fd").iterdir():
            with contextlib.suppress(OSError):
                found.add(os.readlink(link))
    return found


def await_port(child, port, told, seconds=10):
    """Waits until a server answers. Errors: Failed when it ends, or does not answer."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        answered = False
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            answered = True
        if child.poll() is not None:
            told.seek(0)
            raise Failed(f"the server did not start: {why(child.returncode, told.read())}")
        if answered:
            return
        time.sleep(0.02)
    raise Failed(f"the server does not answer after {seconds} s")


def free_port():
    """A port nobody listens at, below those that the kernel gives to clients."""
    while True:
        port = 20_000 + int.from_bytes(os.urandom(2), "little") % 12_000
        with socket.socket() as probe:
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
