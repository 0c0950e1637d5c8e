"""Runs a program where the kernel refuses io_uring: no_uring.py HOW PROGRAM ARGUMENT...

HOW   kill    any io_uring call ends the program at once (SIGSYS); LARIAT_BACKEND=epoll is set
      eperm   the calls fail, as under a container's seccomp profile; nothing is set, and the
      enosys  program must say that it goes on with epoll, and why

Exits as the program does; 77 where no filter can be installed; 1 when a process that it started
outlives it. The long random parts are left to the runs without a filter: it changes which driver
is found, not what that does.
"""

import ctypes
import errno
import os
import platform
import signal
import struct
import subprocess
import sys
import tempfile
import time

# seccomp(2), linux/seccomp.h, linux/filter.h, linux/audit.h
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2
RET_ALLOW = 0x7FFF0000
RET_ERRNO = 0x00050000
RET_KILL_PROCESS = 0x80000000
LOAD_WORD = 0x20  # BPF_LD | BPF_W | BPF_ABS
IF_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
IF_AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K
IF_ABOVE = 0x25  # BPF_JMP | BPF_JGT | BPF_K
RETURN = 0x06  # BPF_RET | BPF_K
MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
FIRST_CALL, LAST_CALL = 425, 427  # io_uring_setup, _enter, _register: the same on every machine

ACTIONS = {
    "kill": RET_KILL_PROCESS,
    "eperm": RET_ERRNO | errno.EPERM,
    "enosys": RET_ERRNO | errno.ENOSYS,
}
SAYS = {"eperm": os.strerror(errno.EPERM), "enosys": os.strerror(errno.ENOSYS)}
SKIPPED = 77
SECONDS_TO_END = 20  # for what the program left running


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(SKIPPED)


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def filter_for(action):
    lines = [
        (LOAD_WORD, 0, 0, 4),  # the machine
        (IF_EQUAL, 1, 0, MACHINES[platform.machine()]),
        (RETURN, 0, 0, RET_ALLOW),
        (LOAD_WORD, 0, 0, 0),  # the call's number
        (IF_AT_LEAST, 0, 2, FIRST_CALL),
        (IF_ABOVE, 1, 0, LAST_CALL),
        (RETURN, 0, 0, action),
        (RETURN, 0, 0, RET_ALLOW),
    ]
    return Program(len(lines), b"".join(struct.pack("HBBI", *line) for line in lines))


def install(action):
    libc = ctypes.CDLL(None, use_errno=True)
    program = filter_for(action)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 or libc.prctl(
            PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program)) != 0:
        skip(f"no seccomp filter can be installed: {os.strerror(ctypes.get_errno())}")


def filter_holds(action):
    """Whether the filter does what it should: asked in a child, which it may kill."""
    child = os.fork()
    if child == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.syscall(FIRST_CALL, 0, 0)
        os._exit(ctypes.get_errno())
    _, status = os.waitpid(child, 0)
    if action == RET_KILL_PROCESS:
        return os.WIFSIGNALED(status)
    return os.WIFEXITED(status) and os.WEXITSTATUS(status) == action & 0xFFFF


def name_of(process):
    try:
        with open(f"/proc/{process}/cmdline", "rb") as line:
            return line.read().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return "?"


def own_children():
    with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as children:
        return [int(child) for child in children.read().split()]


def run(command, said):
    """Returns the program's exit status, and what it left running."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    # A test that hangs is asked to end with its whole group: it tells where it was, then we end.
    signal.signal(signal.SIGTERM, lambda *_: None)
    program = subprocess.Popen(command, stderr=said).pid
    status = None
    while status is None:
        ended, how = os.waitpid(-1, 0)
        if ended == program:
            status = os.waitstatus_to_exitcode(how)
    deadline = time.monotonic() + SECONDS_TO_END
    while time.monotonic() < deadline:
        try:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(0.01)
        except ChildProcessError:
            return status, []
    left = own_children()
    names = [f"{process}: {name_of(process)}" for process in left]
    for process in left:
        os.kill(process, signal.SIGKILL)
    return status, names


def main():
    how, command = sys.argv[1], sys.argv[2:]
    if platform.machine() not in MACHINES:
        skip(f"the calls' filter is not known for {platform.machine()}")
    action = ACTIONS[how]
    install(action)
    if not filter_holds(action):
        print("the filter does not hold")
        sys.exit(1)
    os.environ.pop("LARIAT_TEST_LONG", None)
    if how == "kill":
        os.environ["LARIAT_BACKEND"] = "epoll"
        os.execv(command[0], command)
    os.environ.pop("LARIAT_BACKEND", None)
    # A file, not a pipe: what a process that outlives the program may hold open without a harm.
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        code, left = run(command, said)
        said.seek(0)
        lines = said.read().splitlines()
    print("\n".join(lines), file=sys.stderr)
    if left:
        print(f"{SECONDS_TO_END} s after its end the program's processes still run: {left}")
        sys.exit(1)
    reasons = [line for line in lines if "io_uring is refused" in line]
    if not reasons or not all(SAYS[how] in line and "using epoll" in line for line in reasons):
        print(f"it should have said that io_uring is refused ({SAYS[how]}): using epoll")
        sys.exit(1)
    sys.exit(code if code >= 0 else 128 - code)


main()
