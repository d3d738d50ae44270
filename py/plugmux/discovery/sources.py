"""Sources of a runtime that find plugins in directories: `Directory` and `Installed`."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from ..errors import ConfigError
from ..runtime.source import Launch
from .directory import FoundInDirectory, choose, default_path, expand, find_plugins, newest
from .requirement import Requirement

__all__ = ["Directory", "Installed"]

StrPath: TypeAlias = str | os.PathLike[str]

OWN = frozenset({"command", "name", "runner", "claims"})
"""The fields of a `Launch` that come with the plugin that is found."""


class Directory:
    """Every plugin of a directory, in its highest version: `Runtime([Directory("plugins")])`.

    Args:
        path: the directory; where it is missing, a warning tells so (see docs/discovery.md).
        watch: seconds between two looks for plugins that were added, removed or replaced; 0 looks once.

    Raises:
        ConfigError: `watch` is below 0.
    """

    def __init__(self, path: StrPath, *, watch: float = 0.0) -> None:
        self.path = Path(path)
        self.watch = _validate_interval(watch)

    def find(self) -> list[FoundInDirectory]:
        """The plugins that are in the directory now."""
        return newest(find_plugins(self.path))

    def __repr__(self) -> str:
        return f"Directory({str(self.path)!r})"


class Installed:
    """A plugin that is found by name and versions: `Installed("kv@^1.2")`.

    Args:
        requirement: the name and the range of versions, `NAME@VERSIONS`.
        path: directories to look in, in order (see `discovery.expand`); `discovery.default_path()` by default.
        watch: seconds between two looks for another version; 0 looks once.
        options: fields of the `Launch` that it becomes, except `command`, `name`, `runner` and `claims`, which come
            with the plugin. `env` is added to the variables that the plugin's manifest sets.

    Raises:
        ConfigError: the requirement has another form, or an option is out of its range.
    """

    def __init__(
        self, requirement: str, *, path: Sequence[StrPath] | None = None, watch: float = 0.0, **options: Any
    ) -> None:
        parsed = Requirement.parse(requirement)
        if parsed is None:
            raise ConfigError(f"{requirement!r} names no installed plugin: write NAME@VERSIONS, such as 'kv@^1.2'")
        if taken := options.keys() & OWN:
            raise ConfigError(f"{', '.join(sorted(taken))} of {requirement} come with the plugin that is found")
        Launch([parsed.name], parsed.name, **options)
        self.requirement = replace(parsed, options=options)
        self.path = path
        self.watch = _validate_interval(watch)

    @property
    def name(self) -> str:
        """The plugin's name."""
        return self.requirement.name

    def find(self) -> list[FoundInDirectory]:
        """The highest version that fits; where none does, its start fails and tells which there are."""
        folders = expand(default_path() if self.path is None else self.path)
        return [choose(self.requirement, (plugin for folder in folders for plugin in find_plugins(folder)))]

    def __repr__(self) -> str:
        return f"Installed({str(self.requirement)!r})"


def _validate_interval(watch: float) -> float:
    if not 0 <= watch < math.inf:
        raise ConfigError(f"watch is {watch} s; it must be 0 (look once) or more, and finite")
    return watch
