"""The types that both families of the platform share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeAlias

from ..errors import PlugmuxError

__all__ = [
    "BINARY_FORMATS",
    "CPU_GRACE",
    "BlockingPipes",
    "Child",
    "Credentials",
    "ExitStatus",
    "ListenError",
    "ProcessHandle",
    "Program",
    "ResourceLimits",
    "TrustedFile",
    "UntrustedPath",
    "UserId",
]

BINARY_FORMATS = (b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xca\xfe\xba\xbe")
"""How the files of compiled programs begin: ELF, Windows, Mach-O of 64 and of 32 bits, Mach-O of several machines."""

CPU_GRACE = 1
"""Seconds behind the CPU limit after which a process that ignores the signal of the limit is killed."""

UserId: TypeAlias = "int | str"
"""A user's number; on Windows the security identifier as text."""


class UntrustedPath(PlugmuxError):
    """Another user can change a path; the message names the part that it can change."""


class ListenError(PlugmuxError):
    """The runtime cannot listen at an address; the message says why."""


@dataclass(frozen=True, slots=True)
class TrustedFile:
    """A regular file that is open for reading.

    Args:
        fd: the descriptor, which is the caller's to close.
        path: its path, without links.
        shared: whether others may put files beside it.
    """

    fd: int
    path: str
    shared: bool


class Credentials(NamedTuple):
    """A process and its user, as the kernel knows them: of what connected, or of what began to listen.

    Args:
        pid: the process id, `None` where the system tells the user alone.
        uid: the user.
    """

    pid: int | None
    uid: UserId


@dataclass(frozen=True, slots=True)
class ExitStatus:
    """How a process has ended.

    Args:
        code: its exit status, `None` when a signal ended it.
        signal_number: the signal that ended it, if one did.
        cpu: seconds of processor time that it used.
        memory: bytes of memory that it had at its peak.
    """

    code: int | None
    signal_number: int | None = None
    cpu: float = 0.0
    memory: int = 0


class ResourceLimits(Protocol):
    """What a program may use: bytes of memory, seconds of processor time, open files. `None` is no limit."""

    @property
    def memory(self) -> int | None: ...
    @property
    def cpu(self) -> int | None: ...
    @property
    def files(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Program:
    """A program to start.

    Args:
        path: its file, found already.
        arguments: what follows its name.
        environ: its environment, whole.
        cwd: its directory; by default that of this process.
        limits: what it may use; no limits by default.
    """

    path: str
    arguments: Sequence[str]
    environ: Mapping[str, str] = field(repr=False)
    cwd: str | None = None
    limits: ResourceLimits | None = None


class BlockingPipes(Protocol):
    """Two one-way pipes that no event loop can wait for. Each method may be called in any thread."""

    def read(self, size: int) -> bytes:
        """Wait for bytes, at most `size`; nothing is the end.

        Raises:
            OSError: the pipe broke, or has been closed.
        """

    def write(self, data: bytes) -> None:
        """Write all of it.

        Raises:
            OSError: the pipe broke, or has been closed.
        """

    def close(self) -> None:
        """Close both pipes soon, and end what waits for them. It may be repeated, and waits for nothing."""


class ProcessHandle(Protocol):
    """A process that is watched. As far as the system can tell, it is never confused with a later one of the same id.

    Attributes:
        pid: its process id.
    """

    pid: int

    def on_exit(self, tell: Callable[[], None]) -> None:
        """Call a function once, in the running event loop, when the process has ended; soon if it has already.

        After `close` it is not called.
        """

    def wait(self) -> None:
        """Block this thread until the process has ended."""

    def send_signal(self, number: int) -> None:
        """Send a signal to the process alone.

        Raises:
            ProcessLookupError: it has ended.
            PermissionError: it is another user's.
        """

    def close(self) -> None:
        """Stop watching. It may be called more than once."""


class Child(Protocol):
    """A process that this one has started, and whatever that has started: its tree.

    Attributes:
        pid: its process id.
    """

    pid: int

    def on_exit(self, tell: Callable[[], None]) -> None:
        """Call a function once, in the running event loop, when the process has ended; soon if it has already."""

    def collect(self) -> ExitStatus | None:
        """End what is left of its tree, and take its exit status: once, when `on_exit` has told.

        Returns:
            How it has ended; `None` where that cannot be told, since another part of this process has collected it.
        """

    def terminate(self) -> None:
        """Ask the tree to end. It does nothing once the status has been collected, as do `kill` and `diagnose`."""

    def kill(self) -> None:
        """End the tree at once."""

    def diagnose(self) -> None:
        """Ask the process alone, not its tree, where its threads stand; nothing where the system has no such signal."""

    def close(self) -> None:
        """Stop watching. It may be called more than once, and ends nothing."""
