"""Run a function in a child process that is stopped before each of its system calls on files of one folder.

The kernel asks us before each such call (seccomp user notification, Linux 5.5 or newer; no privileges, no
compiler): let it go on, let it fail with an error, or kill the process before it is made.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import platform
import select
import signal
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# Calls that change files or folders, make such changes last, or read; numbers of unistd.h.
_X86 = (
    "read=0 write=1 open=2 pread64=17 pwrite64=18 writev=20 msync=26 sendfile=40 fsync=74 "
    "fdatasync=75 truncate=76 ftruncate=77 rename=82 mkdir=83 rmdir=84 creat=85 link=86 unlink=87 symlink=88 "
    "openat=257 mkdirat=258 unlinkat=263 renameat=264 linkat=265 symlinkat=266 fallocate=285 pwritev=296 "
    "renameat2=316 copy_file_range=326 pwritev2=328 openat2=437"
)
_ARM = (
    "mkdirat=34 unlinkat=35 symlinkat=36 linkat=37 renameat=38 truncate=45 ftruncate=46 fallocate=47 "
    "openat=56 read=63 write=64 writev=66 pread64=67 pwrite64=68 pwritev=70 sendfile=71 fsync=82 "
    "fdatasync=83 msync=227 renameat2=276 copy_file_range=285 pwritev2=287 openat2=437"
)
_MACHINES = {"x86_64": (0xC000003E, 317, _X86), "aarch64": (0xC00000B7, 277, _ARM)}  # audit name, seccomp
_PATH_AT = {"renameat": (0, 2), "renameat2": (0, 2), "linkat": (0, 2), "symlinkat": (1,)}
_TWO_PATHS = {"rename", "link", "symlink"}
_ONE_PATH = {"open", "creat", "truncate", "mkdir", "rmdir", "unlink"}
_READS = {"read", "pread64"}
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_GO_ON = 1


class Kill:
    """The verdict that ends the process before the call."""


KILL = Kill()
Verdict = int | Kill | None


@dataclass(frozen=True)
class Call:
    """A system call that is about to be made.

    Attributes:
        name: as in the manual.
        paths: the files it is about, below the folder.
        changes: whether it may change what a power cut leaves: it writes, names, or syncs.
        printed: it writes to standard output.
    """

    name: str
    paths: tuple[Path, ...] = ()
    changes: bool = True
    printed: bool = False


@dataclass(frozen=True)
class Ended:
    """How the process ended.

    Attributes:
        code: its exit code; negative: the signal that killed it.
        output: lines it has printed.
        errors: what it wrote to standard error.
    """

    code: int
    output: list[str]
    errors: str


def unsupported() -> str | None:
    """Say why processes cannot be stopped on this machine, or None."""
    if sys.platform != "linux" or platform.machine() not in _MACHINES:
        return f"stops processes on Linux on {' and '.join(_MACHINES)} only, not on {platform.platform()}"
    try:
        ended = run_stopped(lambda: None, Path("/nowhere"), lambda call: None)
    except OSError as error:
        return f"this machine refuses seccomp user notification: {error}"
    return None if ended.code == 0 else f"this machine refuses seccomp user notification: {ended.errors}"


def run_stopped(
    action: Callable[[], object],
    folder: Path,
    decide: Callable[[Call], Verdict],
    seconds: float | None = None,
    limit: float = 60.0,
) -> Ended:
    """Run a function in a forked child until it returns, or is killed.

    Args:
        action: what the child does; a SystemExit is its exit code, another exception is 1.
        folder: absolute, without links; calls on files elsewhere go on unasked.
        decide: says what becomes of a call: None, an errno, or KILL. Its file changes since the call before
            are done when it is asked.
        seconds: kill it after so long.
        limit: for a hang.

    Raises:
        TimeoutError: the child hangs.
    """
    ours, theirs = socket.socketpair()
    ours.settimeout(limit)
    out_read, out_write = os.pipe()
    errors_read, errors_write = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        _child(action, theirs, out_write, errors_write)
    for end in (out_write, errors_write):
        os.close(end)
    theirs.close()
    pidfd = os.pidfd_open(pid)
    started = time.monotonic()
    try:
        _, (listener, *_), *_ = socket.recv_fds(ours, 1, 1)
        try:
            _serve(pid, pidfd, listener, folder, decide, started, seconds, limit)
        finally:
            os.close(listener)
    except ValueError:  # no listener came: the child says why
        pass
    finally:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL) if sys.exc_info()[0] else None
        _, status = os.waitpid(pid, 0)
        os.close(pidfd)
        ours.close()
        with os.fdopen(out_read) as out, os.fdopen(errors_read) as errors:
            lines, told = out.read().splitlines(), errors.read()
    return Ended(os.waitstatus_to_exitcode(status), lines, told)


def _child(action: Callable[[], object], parent: socket.socket, output: int, errors: int) -> None:
    code = 1
    try:
        os.dup2(output, 1)
        os.dup2(errors, 2)
        sys.stdout, sys.stderr = (os.fdopen(end, "w", closefd=False) for end in (1, 2))
        listener = _listen()
        socket.send_fds(parent, [b"."], [listener])
        parent.close()
        os.close(listener)
        action()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _listen() -> int:
    """Have the kernel ask before each of the calls; gives the descriptor it asks on."""
    audit, seccomp, table = _MACHINES[platform.machine()]
    numbers = [int(entry.split("=")[1]) for entry in table.split()]
    load, equal, give = 0x20, 0x15, 0x06
    allow, ask = 0x7FFF0000, 0x7FC00000
    count = len(numbers)
    program = [(load, 0, 0, 4), (equal, 0, count + 1, audit), (load, 0, 0, 0)]
    program += [(equal, count - place, 0, number) for place, number in enumerate(numbers)]
    program += [(give, 0, 0, allow), (give, 0, 0, ask)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    no_new_privileges, set_filter, new_listener = 38, 1, 8
    if libc.prctl(no_new_privileges, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    listener = int(libc.syscall(seccomp, set_filter, new_listener, header))
    if listener < 0:
        raise OSError(ctypes.get_errno(), "seccomp")
    return listener


def _serve(
    pid: int,
    pidfd: int,
    listener: int,
    folder: Path,
    decide: Callable[[Call], Verdict],
    started: float,
    seconds: float | None,
    limit: float,
) -> None:
    names = {
        int(number): name
        for name, number in (entry.split("=") for entry in _MACHINES[platform.machine()][2].split())
    }
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    poll.register(pidfd, select.POLLIN)
    while True:
        left = (limit if seconds is None else seconds) - (time.monotonic() - started)
        ready = dict(poll.poll(max(0.0, 1000 * left)))
        if pidfd in ready:
            return
        if not ready:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            if seconds is None:
                raise TimeoutError(f"the process has not ended after {limit} s")
            return
        if not ready[listener] & select.POLLIN:  # it is about to end
            poll.unregister(listener)
            continue
        question = bytearray(80)
        try:
            fcntl.ioctl(listener, _RECEIVE, question)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EINTR):  # it is gone
                continue
            raise
        identity, _, _, number, _, _, *arguments = struct.unpack("QIIiIQ6Q", question)
        call = _call(pid, names[number], arguments, folder)
        verdict = None if call is None else decide(call)
        if isinstance(verdict, Kill):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            return
        answer = (0, 0, _GO_ON) if verdict is None else (0, -verdict, 0)
        with contextlib.suppress(FileNotFoundError):
            fcntl.ioctl(listener, _SEND, struct.pack("QqiI", identity, *answer))


def _call(pid: int, name: str, arguments: list[int], folder: Path) -> Call | None:
    """Describe a call on the folder's files or on standard output; None for others."""
    if name == "write" and arguments[0] == 1:
        return Call(name, printed=True)
    changes = name not in _READS
    if name in _PATH_AT:
        paths = [_path(pid, arguments[at + 1], arguments[at]) for at in _PATH_AT[name]]
    elif name.endswith("at") or name == "openat2":
        paths = [_path(pid, arguments[1], arguments[0])]
        changes = name != "openat" or bool(arguments[2] & (os.O_CREAT | os.O_TRUNC))
    elif name in _TWO_PATHS:
        paths = [_path(pid, arguments[0]), _path(pid, arguments[1])]
    elif name in _ONE_PATH:
        paths = [_path(pid, arguments[0])]
        changes = name != "open" or bool(arguments[1] & (os.O_CREAT | os.O_TRUNC))
    elif name == "copy_file_range":
        paths = [_opened(pid, arguments[2])]
    else:
        paths = [_opened(pid, arguments[0])]
    inside = tuple(path for path in paths if path is not None and path.is_relative_to(folder))
    return Call(name, inside, changes) if inside else None


def _opened(pid: int, descriptor: int) -> Path | None:
    try:
        return Path(f"/proc/{pid}/fd/{ctypes.c_int(descriptor).value}").readlink()
    except OSError:
        return None


def _path(pid: int, address: int, folder: int | None = None) -> Path | None:
    try:
        with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
            data = os.pread(memory.fileno(), 4096, address)
        here = folder is None or ctypes.c_int(folder).value == -100
        base = Path(f"/proc/{pid}/cwd" if here else f"/proc/{pid}/fd/{folder}").readlink()
    except OSError:
        return None
    return Path(os.path.normpath(base / os.fsdecode(data.split(b"\0", 1)[0])))
