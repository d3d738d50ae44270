"""The command `plugmux` in a process that is forked from this one, so that it need not import all that this one has."""

from __future__ import annotations

import os
import signal
import sys
import traceback
import warnings
from collections.abc import Mapping

from plugmux.cli import main
from plugmux.cli.commands import dev, run
from plugmux.runtime import supervisor

__all__ = ["Forked"]

WHAT_IT_NEEDS = (dev, run, supervisor)
"""Modules that are imported here, once, and in each process of the command otherwise."""


class Forked:
    """A process that runs the command, as much of it like `subprocess.Popen` as tests use.

    Args:
        arguments: those of the command.
        notes: whether it says of a plugin that is slow to start that it is still starting.
        environ: variables that it has besides those of this process.
    """

    def __init__(self, *arguments: str, notes: bool = True, environ: Mapping[str, str] | None = None) -> None:
        reading, writing = zip(os.pipe(), os.pipe(), strict=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # xdist's thread only waits for what it is sent.
            self.pid = os.fork()
        if not self.pid:
            os.environ.update(environ or {})
            _run(arguments, writing, notes)
        for end in writing:
            os.close(end)
        self.stdout, self.stderr = (os.fdopen(end, encoding="utf-8") for end in reading)
        self.returncode: int | None = None

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def communicate(self) -> tuple[str, str]:
        """Wait for its end; what it has printed on stdout, which is little, and on stderr."""
        told = ["" if stream.closed else stream.read() for stream in (self.stderr, self.stdout)]
        for stream in (self.stderr, self.stdout):
            stream.close()
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return told[1], told[0]


def _run(arguments: tuple[str, ...], output: tuple[int, ...], notes: bool) -> None:
    status = 1
    try:
        for number, end in enumerate(output, 1):
            os.dup2(end, number)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", encoding="utf-8", closefd=False) for number in (1, 2))
        if not notes:
            supervisor.STILL_STARTING = ()  # type: ignore[assignment]  # of three by itself
        status = main(arguments)
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
