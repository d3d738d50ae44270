"""`plugmux dev`: runs a plugin, and puts a new one in its place whenever its files change."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from ...contract.address import Address
from ...errors import ConfigError, PlugmuxError
from ..address import default_addresses
from ..launch.imports import program_files
from ..launch.options import add_launch_options, configurations, policies_of, with_variables
from ..launch.source import parse_one
from ..launch.words import words_of
from ..output import write_error
from ..terminal.progress import Step, progress
from .run import listen_option, serve

if TYPE_CHECKING:
    from ...runtime import Launch, Runtime

__all__ = ["add", "run"]

INTERVAL = 0.3
"""Seconds between two looks at the files; a change is acted upon when a further look finds no other."""

DRAIN_TIME = 5.0
UNWATCHED = frozenset({"__pycache__", "node_modules"})

Fingerprint: TypeAlias = dict[str, tuple[int, int]]
"""Time of change and size of every file."""


def add(commands: Any) -> argparse.ArgumentParser:
    """Declare the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "dev",
        help="run a plugin, and replace it whenever its files change",
        description="Run a plugin until a signal ends it. When its program's file changes, or something under a "
        "watched path, the new one is started beside the old one and takes the calls over; where it fails, the old "
        "one stays, and stderr says why. What the plugin prints goes to stderr.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "command", metavar="CMD", help="the plugin: a command, a script, MODULE:OBJECT, a name, or NAME=CMD"
    )
    parser.add_argument(
        "--watch", metavar="PATH", action="append", default=[], help="watch this file, or all files in this directory"
    )
    add_launch_options(
        parser, config="FILE", timeout="seconds that any call to the plugin may take; by default no limit"
    )
    listen_option(parser)
    parser.set_defaults(verbose=True)
    return parser


async def run(options: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    addresses = [str(Address.parse(text)) for text in options.listen] or [str(default_addresses()[0])]
    from ...runtime import Host, Launch, Runtime

    _check_paths(options.watch)
    (launch,) = with_variables([parse_one(options.command, on_path=options.on_path)], options)
    assert isinstance(launch, Launch)
    words = await words_of(launch)
    env = {**os.environ, **launch.env}
    files = Files(lambda: [*program_files(words, env), *options.watch])
    runtime = Runtime(
        [launch],
        listen=addresses,
        configuration=configurations(options.config, [launch.name]),
        policies=policies_of(options, request=options.timeout),
        host=Host(debug=True),
    )
    await serve(runtime, lambda: _replace_at_every_change(runtime, launch, files))
    return 0


def _check_paths(paths: Sequence[str]) -> None:
    for path in paths:
        if not os.path.exists(path):
            raise ConfigError(f"--watch {path}: there is no such file or directory")


async def _replace_at_every_change(runtime: Runtime, launch: Launch, files: Files) -> None:
    name = launch.name
    if (error := runtime.plugin(name).error) is not None:
        write_error(f"plugmux: {error}")
    while True:
        await files.changed()
        try:
            async with progress(lambda: Step(f"replacing {name}")):
                new = await runtime.replace(name, launch, drain_time=DRAIN_TIME, same_services=False)
        except PlugmuxError as failure:
            write_error(f"plugmux: {failure}")
        else:
            write_error(f"replaced {name} by {new.version} (process {new.pid})")


class Files:
    """Files and directories that are watched by looking at them again and again.

    Args:
        paths: gives what to watch; directories with all that is in them, but for what is hidden or made by tools.
    """

    def __init__(self, paths: Callable[[], Sequence[str]]) -> None:
        self._find = paths
        self._paths = paths()
        self._seen = self._look()

    async def changed(self) -> None:
        """Wait until something is not as it was when this returned last, and no longer changes."""
        import asyncio

        before = self._seen
        while True:
            await asyncio.sleep(INTERVAL)
            now = self._look()
            if now == before != self._seen:
                self._paths = self._find()  # A change may have brought an import.
                self._seen = self._look()
                return
            before = now

    def _look(self) -> Fingerprint:
        found: Fingerprint = {}
        for path in self._paths:
            for file in _walk(path):
                try:
                    status = os.stat(file)
                except OSError:
                    continue  # It has gone: that is a change as well.
                found[file] = (status.st_mtime_ns, status.st_size)
        return found


def _walk(path: str) -> Iterator[str]:
    if not os.path.isdir(path):
        yield path
    for directory, directories, files in os.walk(path):
        directories[:] = [name for name in directories if not name.startswith(".") and name not in UNWATCHED]
        yield from (os.path.join(directory, name) for name in files if not name.startswith("."))
