"""Plugins that are programs on PATH, found as git finds its commands: `plugmux-kv` is the plugin `kv`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..contract.registration import NAME
from ..errors import ConfigError
from ..platform import can_be_executed, find_on_path, has_directory
from ..runtime.source import Found, Launch, name_of_command
from .found import missing

__all__ = ["PREFIX", "OnPath", "PathProgram", "programs"]

PREFIX = "plugmux-"


@dataclass(frozen=True, slots=True)
class PathProgram:
    """A plugin that is a program on PATH.

    Args:
        name: its name, without the prefix.
        path: its file.
    """

    name: str
    path: Path

    @property
    def launch(self) -> Launch:
        """Starts it."""
        return Launch([str(self.path)], self.name)

    @property
    def fingerprint(self) -> tuple[object, ...]:
        """What changes when the file does."""
        try:
            status = self.path.stat()
        except OSError:
            return (self.path,)
        return (self.path, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


class OnPath:
    """Programs on PATH whose names begin with a prefix: `Runtime([OnPath("kv")])` runs `plugmux-kv`.

    Nobody runs a program of PATH by this unless the host asks for it. Relative directories of PATH are left out:
    entering a directory should not run its programs.

    Args:
        names: the plugins, without the prefix; by default all that there are.
        prefix: what the programs' names begin with.
        path: directories in place of those of PATH.
        watch: seconds between two looks for programs that were added, removed or replaced; 0 looks once.

    Raises:
        ConfigError: the prefix is empty or has a slash, or `watch` is below 0.
    """

    def __init__(self, *names: str, prefix: str = PREFIX, path: str | None = None, watch: float = 0.0) -> None:
        if not prefix or has_directory(prefix):
            raise ConfigError(f"OnPath: prefix is {prefix!r}; it must be the beginning of a file name")
        if not 0 <= watch < float("inf"):
            raise ConfigError(f"OnPath: watch is {watch} s; it must be 0 (look once) or more, and finite")
        self.names = names
        self.prefix = prefix
        self.path = path
        self.watch = watch

    def find(self) -> list[Found]:
        """The plugins; of each name the first on PATH. The start of one that is not there tells where it was sought."""
        there_are = programs(self.prefix, self.path)
        if not self.names:
            return list(there_are.values())
        return [there_are.get(name) or missing(name, [place_of(self.prefix, name, self.path)]) for name in self.names]

    def __repr__(self) -> str:
        return f"OnPath({', '.join(map(repr, self.names))})"


def programs(
    prefix: str = PREFIX, path: str | None = None, environ: Mapping[str, str] = os.environ
) -> dict[str, PathProgram]:
    """The programs on PATH with that prefix, by the names of their plugins.

    Where several files of a directory have a name, the one that the system would run by that name is taken: on Windows
    `%PATHEXT%` says which.

    Args:
        prefix: what their names begin with.
        path: directories in place of those of PATH.
        environ: has PATH.
    """
    found: dict[str, PathProgram] = {}
    for folder in _folders(path, environ):
        try:
            files = sorted(entry for entry in folder.iterdir() if entry.name.startswith(prefix))
        except OSError:
            continue  # As a shell does.
        for file in files:
            name = name_of_command([file.name]).removeprefix(prefix)
            if name not in found and NAME.fullmatch(name) and file.is_file() and can_be_executed(file):
                found[name] = PathProgram(name, Path(find_on_path(prefix + name, str(folder)) or file))
    return found


def place_of(prefix: str, name: str, path: str | None = None, environ: Mapping[str, str] = os.environ) -> str:
    """Where a program was looked for, for an error message."""
    folders = os.pathsep.join(map(str, _folders(path, environ)))
    return f"no program {prefix}{name} in PATH ({folders or 'which has no absolute directory'})"


def _folders(path: str | None, environ: Mapping[str, str]) -> list[Path]:
    text = environ.get("PATH", os.defpath) if path is None else path
    return [Path(folder) for folder in dict.fromkeys(text.split(os.pathsep)) if os.path.isabs(folder)]
