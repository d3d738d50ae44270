"""The command line: which command, what exit status, and where errors go."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ..errors import ConfigError, PlugmuxError
from ..version import VERSION
from . import call, dev, events, get, logs, plugins, run

__all__ = ["main"]

FAILED = 1
WRONG_USAGE = 2
COMMANDS = (run, dev, get, plugins, logs, events, call)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the `plugmux` command.

    Args:
        arguments: what stands behind the command's name; that of this process by default.

    Returns:
        The exit status: 0, 1 for a failure, 2 for wrong usage that only running the command shows.

    Raises:
        SystemExit: with 2 for wrong usage, with 0 behind `--help` and `--version`.
    """
    import asyncio

    options = _parser().parse_args(arguments)
    try:
        with _logging_to_stderr(options.verbose):
            status: int = asyncio.run(options.run(options))
        sys.stdout.flush()
    except KeyboardInterrupt:
        return FAILED
    except BrokenPipeError:
        # Whoever read the output has had enough. Nothing may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (PlugmuxError, OSError) as error:
        print(f"plugmux: {error}", file=sys.stderr)
        return WRONG_USAGE if isinstance(error, ConfigError) else FAILED
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="plugmux",
        description="Run plugins, and use what they serve. Results go to stdout, everything else to stderr.",
        epilog="Exit status: 0, 1 for a failure, 2 for wrong usage. PLUGMUX_SOCKET names the runtime's socket.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, help="print the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        added = command.add(commands)
        added.add_argument("-v", "--verbose", action="store_true", help="log more on stderr")
        added.set_defaults(run=command.run)
    return parser


class _Version(argparse.Action):
    """Prints the version on stdout."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None) -> None:
        super().__init__(option_strings, dest, nargs=0, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(f"plugmux {VERSION.removeprefix('v')}")
        parser.exit()


@contextmanager
def _logging_to_stderr(verbose: bool) -> Iterator[None]:
    logger, handler = logging.getLogger("plugmux"), logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    handler.setLevel(logging.INFO if verbose else logging.WARNING)
    logger.addHandler(handler)
    logger.setLevel(handler.level)
    try:
        yield
    finally:
        logger.removeHandler(handler)
