"""The process that forks plugins: `python -m plugmux.runners.zygote_host DESCRIPTOR [MODULE ...]`. (See `zygote`.)

It is one thread without an event loop, so that a fork copies nothing that only half works in the child.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import select
import signal
import socket
import sys
from contextlib import suppress
from importlib import import_module
from typing import Any

from .zygote import LENGTH, PID, READY, STATUS, program_directory

SHARED = (
    "asyncio",
    "google.protobuf.message",
    "plugmux.plugin.plugin",
    "plugmux.plugin.connection",
    "plugmux.services",
)
"""What every plugin imports, besides what these import."""
MAX_STREAMS = 16
MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


def main() -> None:
    """Serve the runner until it has gone; returns in a child, too, when its program has ended."""
    control = socket.socket(fileno=int(sys.argv[1]))
    for module in (*SHARED, *sys.argv[2:]):
        import_module(module)
    gc.collect()
    gc.freeze()  # What is shared stays so: the collector of a child does not touch it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the runtime's affair.
    signal.signal(signal.SIGCHLD, lambda *_: None)
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.set_wakeup_fd(wakes)
    children: dict[int, int] = {}
    control.sendall(READY)
    while True:
        ready, _, _ = select.select((control.fileno(), woken), (), ())
        if woken in ready:
            os.read(woken, 4096)
            collect(children)
        if control.fileno() in ready:
            request, descriptors = receive(control)
            if request is None:
                return
            if "signal" in request:
                send_signal(request, children)
            elif (pid := os.fork()) == 0:
                signal.set_wakeup_fd(-1)
                for number in (signal.SIGCHLD, signal.SIGTERM):
                    signal.signal(number, signal.SIG_DFL)
                signal.signal(signal.SIGINT, signal.default_int_handler)
                for descriptor in (control.detach(), woken, wakes, *children.values()):
                    os.close(descriptor)
                become(request, descriptors)
                return
            else:
                if request["lead"]:
                    with suppress(OSError):  # The child does it, too: whoever is first.
                        os.setpgid(pid, pid)
                children[pid] = descriptors[0]
                for descriptor in descriptors[1:]:
                    os.close(descriptor)
                control.sendall(PID.pack(pid))


def receive(control: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    """The next request and its descriptors; `None` when the runner has gone."""
    length, descriptors, _, _ = socket.recv_fds(control, LENGTH.size, MAX_STREAMS)
    if not length:
        return None, []
    length += control.recv(LENGTH.size - len(length), socket.MSG_WAITALL) if len(length) < LENGTH.size else b""
    body = control.recv(LENGTH.unpack(length)[0], socket.MSG_WAITALL)
    request: dict[str, Any] = json.loads(body)
    return request, descriptors


def send_signal(request: dict[str, Any], children: dict[int, int]) -> None:
    """Signal a child that has not been collected, and its group where that is asked for."""
    pid = request["pid"]
    if pid in children:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, request["signal"])
        if request["group"]:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, request["signal"])


def collect(children: dict[int, int]) -> None:
    """Collect the children that have ended: end what is left of their groups, and tell how they have ended."""
    while children:
        if hasattr(os, "waitid"):
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None:
                return
            end_group(ended.si_pid)
            pid, status, used = os.wait4(ended.si_pid, 0)
        else:  # As on macOS before Python 3.13. The group cannot be ended before its number may be another's.
            pid, status, used = os.wait4(-1, os.WNOHANG)
            if pid == 0:
                return
            end_group(pid)
        descriptor = children.pop(pid)
        code = os.waitstatus_to_exitcode(status)
        with suppress(OSError):  # The runner has gone.
            os.write(descriptor, STATUS.pack(code, used.ru_utime + used.ru_stime, used.ru_maxrss * MAXRSS_UNIT))
        os.close(descriptor)


def end_group(leader: int) -> None:
    """End what is left of a child's group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def place(descriptors: list[int], targets: list[int]) -> None:
    """Give descriptors their numbers; what had these numbers is closed, even one of the others."""
    below = max(targets)
    left: list[int] = []

    def out_of_the_way(descriptor: int) -> int:
        while descriptor <= below:
            left.append(descriptor)
            descriptor = os.dup(descriptor)
        return descriptor

    moved = [out_of_the_way(descriptor) for descriptor in descriptors]
    for descriptor, target in zip(moved, targets, strict=True):
        os.dup2(descriptor, target)
        os.close(descriptor)
    for descriptor in set(left) - set(targets):
        os.close(descriptor)


def become(request: dict[str, Any], descriptors: list[int]) -> None:
    """Run a plugin's program in this process, which has just been forked."""
    if request["lead"]:
        with suppress(OSError):
            os.setpgid(0, 0)
    os.close(descriptors[0])
    place(descriptors[1:], request["streams"])
    os.environ.clear()
    os.environ.update(request["environ"])
    if request["cwd"] is not None:
        os.chdir(request["cwd"])
    first, *rest = request["arguments"]
    if first == "-m":
        module, *rest = rest
        sys.argv = [module, *rest]
        sys.path.insert(0, os.getcwd())
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    else:
        sys.argv = [first, *rest]
        sys.path.insert(0, program_directory(first))
        runpy.run_path(first, run_name="__main__")


if __name__ == "__main__":
    main()
