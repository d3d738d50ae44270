"""Makes a Python process of Linux look like macOS, as far as plugmux asks.

There is no pidfd and no waitid, but kqueue; no SO_PEERCRED, but LOCAL_PEERCRED and LOCAL_PEERPID; no /proc, but
libproc; no O_PATH, no abstract socket, no mode of a socket before it has a name; `ru_maxrss` counts bytes. What the
system does beneath stays Linux. The tests themselves may look at /proc, to see what has happened.
"""

from __future__ import annotations

import ctypes
import errno
import importlib
import os
import resource
import select
import signal
import socket
import stat
import struct
import sys
import sysconfig
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

__all__ = ["pretend"]

FIRST = """
    asyncio concurrent.futures ctypes.util http.client logging.handlers multiprocessing pathlib platform shutil ssl
    subprocess tempfile urllib.request uuid webbrowser
""".split()
"""Modules of the standard library that ask for the system when they are imported: they see Linux."""

REMOVED = {
    os: """
        O_PATH P_PIDFD copy_file_range eventfd getresuid memfd_create pidfd_open pipe2 posix_fadvise sched_getaffinity
        sched_setaffinity setns setresuid splice unshare waitid
    """,
    signal: "SIGPOLL SIGPWR SIGRTMAX SIGRTMIN SIGSTKFLT pidfd_send_signal sigtimedwait sigwaitinfo",
    socket: """
        AF_ALG AF_NETLINK AF_PACKET AF_VSOCK SCM_CREDENTIALS SOCK_CLOEXEC SOCK_NONBLOCK SO_BINDTODEVICE SO_PEERCRED
        TCP_QUICKACK TCP_USER_TIMEOUT
    """,
}
SO_PEERCRED = 17
FILTER_PROC, EV_ADD, NOTE_EXIT = -5, 1, 0x80000000
MAX_SOCKET_PATH = 103
KIB = 1024
SEEN = (str(Path(__file__).parents[2] / "py"), "site-packages")
"""What sees no /proc."""

pidfd_open = os.pidfd_open


def pretend() -> None:
    """Begin to look like macOS, before plugmux is imported."""
    for module in FIRST:
        importlib.import_module(module)
    sysconfig.get_config_vars()  # It is read from a file that is named after the system.
    for owner, names in REMOVED.items():
        for name in names.split():
            if hasattr(owner, name):
                delattr(owner, name)
    sys.addaudithook(_hide_proc)
    os.readlink = _hides(os.readlink)
    system: Any = os
    system.fchmod, system.wait4 = _refuse_sockets(os.fchmod), _in_bytes(os.wait4)
    for name in ("bind", "connect", "connect_ex"):
        setattr(socket.socket, name, _refuse_abstract(getattr(socket.socket, name)))
    socket.socket.getsockopt = _local_peer(socket.socket.getsockopt)  # type: ignore[method-assign]
    for name, value in (("KQ_FILTER_PROC", FILTER_PROC), ("KQ_EV_ADD", EV_ADD), ("KQ_NOTE_EXIT", NOTE_EXIT)):
        setattr(select, name, value)
    kernel: Any = select
    kernel.kqueue, kernel.kevent = Kqueue, Kevent
    ctypes.CDLL = _library(ctypes.CDLL)  # type: ignore[misc, assignment]  # replaced as on macOS
    sys.platform = "darwin"


# -- /proc ------------------------------------------------------------------------------------------------------------


def _hide_proc(event: str, arguments: Sequence[Any]) -> None:
    if event in ("open", "os.listdir", "os.scandir") and arguments and _is_hidden(arguments[0]):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), arguments[0])


def _is_hidden(path: object) -> bool:
    if not isinstance(path, str | bytes) or not os.fsdecode(path).startswith("/proc/"):
        return False
    frame = sys._getframe(1)
    while frame.f_back is not None:
        name = frame.f_code.co_filename
        if any(seen in name for seen in SEEN):
            return True
        simulated = name == __file__ and frame.f_code.co_name not in ("_hide_proc", "readlink")
        if simulated or not (name == __file__ or name.startswith((sys.base_prefix, "<frozen"))):
            return False
        frame = frame.f_back
    return False


def _hides(read: Callable[..., Any]) -> Callable[..., Any]:
    def readlink(path: Any, *, dir_fd: int | None = None) -> Any:
        if _is_hidden(os.fspath(path)):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return read(path, dir_fd=dir_fd)

    return readlink


class _BsdInfo(ctypes.Structure):
    """`struct proc_bsdinfo`, field by field. (sys/proc_info.h)"""

    _fields_ = (
        *(
            (name, ctypes.c_uint32)
            for name in "flags status xstatus pid ppid uid gid ruid rgid svuid svgid rfu_1".split()
        ),
        ("comm", ctypes.c_char * 16),
        ("name", ctypes.c_char * 32),
        *((name, ctypes.c_uint32) for name in "nfiles pgid pjobc e_tdev e_tpgid".split()),
        ("nice", ctypes.c_int32),
        ("start_tvsec", ctypes.c_uint64),
        ("start_tvusec", ctypes.c_uint64),
    )


class _Function:
    """A function of a library: it can be told its types."""

    def __init__(self, function: Callable[..., int]) -> None:
        self._function = function
        self.argtypes: Any = None
        self.restype: Any = None

    def __call__(self, *arguments: Any) -> int:
        return self._function(*arguments)


class _Libproc:
    def __init__(self) -> None:
        self.proc_pidinfo = _Function(self._info)
        self.proc_pidpath = _Function(self._path)

    def _info(self, pid: int, flavor: int, argument: int, buffer: Any, size: int) -> int:
        if (flavor, argument, size) != (3, 0, ctypes.sizeof(_BsdInfo)):
            return 0
        try:
            state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0
        if state in "ZX":  # Of a process that has ended libproc knows nothing.
            return 0
        ticks = int(fields[18])
        info = _BsdInfo(pid=pid, status=4 if state in "Tt" else 2, start_tvsec=ticks // 100, start_tvusec=ticks % 100)
        ctypes.memmove(buffer, ctypes.byref(info), size)
        return size

    def _path(self, pid: int, buffer: Any, size: int) -> int:
        try:
            path = os.fsencode(os.readlink(f"/proc/{pid}/exe"))
        except OSError:
            return 0
        ctypes.memmove(buffer, path, len(path))
        return len(path)


def _library(load: Callable[..., Any]) -> Callable[..., Any]:
    def library(name: Any, *arguments: Any, **options: Any) -> Any:
        return _Libproc() if name == "/usr/lib/libproc.dylib" else load(name, *arguments, **options)

    return library


# -- processes --------------------------------------------------------------------------------------------------------


class Kevent:
    """`struct kevent`, of which plugmux uses the first four fields."""

    def __init__(self, ident: int, filter: int, flags: int, fflags: int) -> None:
        self.ident, self.filter, self.flags, self.fflags = ident, filter, flags, fflags


class Kqueue:
    """A kqueue that tells of the end of one process; its descriptor can be watched as that of a real one."""

    def __init__(self) -> None:
        self.closed = True  # Until there is something to close.
        self._end, self._start = os.pipe()  # A descriptor that nothing makes readable, until there is a process.
        self.closed = False

    def fileno(self) -> int:
        return self._end

    def control(self, changes: list[Kevent] | None, most: int, timeout: float | None = None) -> list[Kevent]:
        for change in changes or ():
            watched = pidfd_open(change.ident)
            try:
                if _readable(watched, 0):  # As macOS, it knows no process that has ended.
                    raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
                os.dup2(watched, self._end, inheritable=False)
            finally:
                os.close(watched)
        if most == 0 or not _readable(self._end, timeout):
            return []
        return [Kevent(0, FILTER_PROC, 0, NOTE_EXIT)]

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            os.close(self._end)
            os.close(self._start)

    def __enter__(self) -> Kqueue:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


def _readable(descriptor: int, timeout: float | None) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(None if timeout is None else timeout * 1000))


def _in_bytes(wait: Callable[[int, int], Any]) -> Callable[[int, int], Any]:
    def wait4(pid: int, options: int) -> Any:
        ended, status, used = wait(pid, options)
        fields = list(used)
        fields[2] *= KIB
        return ended, status, resource.struct_rusage(fields)

    return wait4


# -- sockets ----------------------------------------------------------------------------------------------------------


def _refuse_abstract(call: Callable[..., Any]) -> Callable[..., Any]:
    def refusing(self: socket.socket, address: Any) -> Any:
        if self.family == socket.AF_UNIX:
            name = os.fsencode(address)
            if name.startswith(b"\0"):
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
            if len(name) > MAX_SOCKET_PATH:
                raise OSError("AF_UNIX path too long")
        return call(self, address)

    return refusing


def _local_peer(ask: Callable[..., Any]) -> Callable[..., Any]:
    def getsockopt(self: socket.socket, level: int, option: int, size: int = 0) -> Any:
        if self.family != socket.AF_UNIX or level != 0:
            return ask(self, level, option, size)
        pid, uid, gid = struct.unpack("3i", ask(self, socket.SOL_SOCKET, SO_PEERCRED, 12))
        told = {1: struct.pack("=IIhxxI60x", 0, uid, 1, gid), 2: struct.pack("i", pid)}
        if option not in told:
            raise OSError(errno.ENOPROTOOPT, os.strerror(errno.ENOPROTOOPT))
        return told[option][:size]

    return getsockopt


def _refuse_sockets(change: Callable[[int, int], None]) -> Callable[[int, int], None]:
    def fchmod(fd: int, mode: int) -> None:
        if stat.S_ISSOCK(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        change(fd, mode)

    return fchmod
