"""What could be run by its name: entry points, plugins in directories, and programs on PATH."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .source import PREFIX

__all__ = ["Available", "available"]


@dataclass(frozen=True, slots=True)
class Available:
    """A plugin that could be run.

    Args:
        name: its name.
        version: its version, as far as it is known before it is started.
        kind: how it is found: `entry point`, `directory` or `PATH`.
        where: the distribution and its object, or the file.
        plugin: what to write behind `--plugin`, with `--on-path` for what is on PATH.
        error: why it cannot be run; empty where nothing is known against it.
    """

    name: str
    version: str
    kind: str
    where: str
    plugin: str
    error: str = ""


def available(path: Sequence[str] | None = None) -> list[Available]:
    """Everything that could be run, sorted by name, in the order of precedence where several have one name.

    Args:
        path: directories of plugins; by default those in which `NAME@VERSIONS` is looked for.
    """
    return sorted([*_entry_points(), *_directories(path), *_on_path()], key=lambda found: found.name)


def _entry_points() -> Iterator[Available]:
    from ...discovery.python import entry_points

    known = entry_points()
    for found in known:
        others = [each.distribution for each in known if each.name == found.name and each is not found]
        error = f"{', '.join(others)} has an entry point of this name too: write {found.target}" if others else ""
        where = f"{found.distribution} {found.version} ({found.target}) in {found.folder}"
        version = f"v{found.version}" if found.version else ""
        yield Available(found.name, version, "entry point", where, found.target if others else found.name, error)


def _directories(path: Sequence[str] | None) -> Iterator[Available]:
    from ...discovery import default_path, expand, find_plugins
    from ...discovery.permissions import FailedRunner

    for folder in expand(default_path() if path is None else path):
        for found in find_plugins(folder):
            runner = found.launch.runner
            error = runner.error.detail if isinstance(runner, FailedRunner) else ""
            version = str(found.version or "")
            plugin = f"{found.name}@{version.removeprefix('v') or '*'}"
            yield Available(found.name, version, "directory", str(found.path), plugin, error)


def _on_path() -> Iterator[Available]:
    from ...discovery.on_path import programs

    for name, program in programs(PREFIX).items():
        yield Available(name, "", "PATH", str(program.path), name)
