"""The command line: which command, what exit status, and where errors go."""

from __future__ import annotations

import argparse
import logging
import os
import platform
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ..contract.version import COMPILED, VERSION
from ..errors import END_OF_STDERR, ConfigError, PlugmuxError
from .commands import call, check, completion, describe, dev, events, get, logs, new, pki, plugins, run, ui
from .observe import graph, top
from .output import write_error, write_text
from .terminal.troubleshooting import address_of
from .wording import worded

__all__ = ["main"]

FAILED = 1
WRONG_USAGE = 2
INTERRUPTED = 130
"""What a shell gives for a program that Ctrl-C has ended: 128, and the number of SIGINT."""
COMMANDS = (run, dev, get, plugins, logs, events, top, graph, call, describe, ui, new, check, pki, completion)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the `plugmux` command.

    Args:
        arguments: what stands behind the command's name; that of this process by default.

    Returns:
        The exit status: 0, 1 for a failure, 2 for wrong usage that only running the command shows, 130 for Ctrl-C.

    Raises:
        SystemExit: with 2 for wrong usage, with 0 behind `--help` and `--version`.
    """
    import asyncio

    log = _Handler()
    try:
        with _standard_streams():
            given = sys.argv[1:] if arguments is None else arguments
            parser = _parser(verbose="-v" in given or "--verbose" in given)
            if "_ARGCOMPLETE" in os.environ:  # A shell asks what could stand at the cursor.
                from .completion import complete

                complete(parser)
            options = parser.parse_args(given)
            with _logging_to_stderr(log, options.verbose):
                status: int = asyncio.run(options.run(options))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # Whoever read the output has had enough.
        return FAILED
    except (PlugmuxError, OSError) as error:
        message = worded(log.without_printed(str(error)))
        address = address_of(message)
        write_error(f"plugmux: {message}" + (f"\nsee {address}" if address else ""))
        return WRONG_USAGE if isinstance(error, ConfigError) else FAILED
    return status


def _parser(*, verbose: bool = False) -> argparse.ArgumentParser:
    build = f" ({'compiled' if COMPILED else 'pure'}, Python {platform.python_version()})" if verbose else ""
    parser = argparse.ArgumentParser(
        prog="plugmux",
        description="Run plugins, and use what they serve. Results go to stdout, everything else to stderr.",
        epilog="Exit status: 0, 1 for a failure, 2 for wrong usage, 130 for Ctrl-C. PLUGMUX_SOCKET names the runtime's "
        "socket.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--version",
        action=_Version,
        const=f"plugmux {VERSION.removeprefix('v')}{build}",
        help="print the version and exit; with -v, which build it is",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        added = command.add(commands)
        added.add_argument("-v", "--verbose", action="store_true", help="log more on stderr")
        added.set_defaults(run=command.run)
    return parser


class _Version(argparse.Action):
    """Prints its constant on stdout."""

    def __init__(self, option_strings: Sequence[str], dest: str, const: str, help: str | None = None) -> None:
        super().__init__(option_strings, dest, nargs=0, const=const, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        write_text(str(self.const))
        parser.exit()


@contextmanager
def _standard_streams() -> Iterator[None]:
    """See that what is printed gets out; where it does not, nothing is left to be written at exit.

    Raises:
        OSError: stdout is closed, or cannot be written to.
    """
    if sys.stderr is None:  # It is closed: errors would be printed on stdout.
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 -- it is open until the end
    if sys.stdout is None:
        raise OSError("stdout is closed")
    try:
        yield
    finally:
        try:
            sys.stdout.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise


class _Handler(logging.Handler):
    """Writes log lines as all that goes to stderr, in the command line's own words."""

    def __init__(self) -> None:
        super().__init__()
        self._printed: deque[str] = deque(maxlen=32)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            _, _, end = record.getMessage().partition(END_OF_STDERR)
            if end:
                self._printed.append(END_OF_STDERR + end)
            write_error(worded(self.format(record)))
        except Exception:
            self.handleError(record)

    def without_printed(self, message: str) -> str:
        """A message without what plugins printed at their end, where the log has shown it already."""
        for end in self._printed:
            message = message.replace(end, "")
        return message


@contextmanager
def _logging_to_stderr(handler: _Handler, verbose: bool) -> Iterator[None]:
    logger = logging.getLogger("plugmux")
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    handler.setLevel(logging.INFO if verbose else logging.WARNING)
    logger.addHandler(handler)
    logger.setLevel(handler.level)
    try:
        yield
    finally:
        logger.removeHandler(handler)
