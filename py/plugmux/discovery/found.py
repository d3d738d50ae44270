"""What a name stands for: a plugin to launch, or one whose start fails and tells why."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import PluginCause, PluginError
from ..runtime.source import Found, Launch
from .permissions import FailedRunner

__all__ = ["FoundByName", "failed", "missing"]


@dataclass(frozen=True, slots=True)
class FoundByName:
    """What a name stands for. (See `Found`.)"""

    name: str
    launch: Launch

    fingerprint = ()


def missing(name: str, places: Iterable[str], file: str = "") -> Found:
    """A plugin that was not found.

    Args:
        name: its name.
        places: where it was looked for, each in words.
        file: what may lie in the current directory, which is not looked at.
    """
    detail = f"there is no plugin {file or name!r}: {'; '.join(places)}"
    if file and os.path.isfile(file):
        detail += f"; for the file of that name in the current directory, write './{file}'"
    return failed(name, PluginCause.NOT_FOUND, detail)


def failed(name: str, cause: PluginCause, detail: str) -> Found:
    """A plugin whose start fails for that cause."""
    return FoundByName(name, Launch([name], name, runner=FailedRunner(PluginError(name, cause, detail))))
