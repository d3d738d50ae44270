"""Plugins that a `RemoteRunner` starts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from plugmux import Launch
from plugmux.runners import JoinPoint, RemoteRunner

from .tools import example_plugin

__all__ = ["ELSEWHERE", "elsewhere"]

ELSEWHERE = ("env", "-i", f"PATH={os.environ['PATH']}", "sh")
"""Stands for the shell of another machine: it has no variable of the runtime's and reads its stdin, as with ssh."""


def elsewhere(language: str, point: JoinPoint, via: Sequence[str] = ELSEWHERE, **options: Any) -> Launch:
    """The launch of an example plugin as on another machine."""
    paths = {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    command = example_plugin(language)
    return Launch(command, name="kv", env=paths, runner=RemoteRunner(via, point), timeout=60, **options)
