"""The cloud plugin of examples/cloud, in three languages."""

from __future__ import annotations

import sys

from .tools import ROOT, go_build, ts_program

__all__ = ["cloud_command"]


def cloud_command(language: str) -> list[str]:
    """The plugin of a language, built."""
    if language == "python":
        return [sys.executable, str(ROOT / "examples/cloud/python-cloud")]
    if language == "go":
        return [go_build(".", "./examples/cloud", "go-cloud")]
    return [ts_program("ts-cloud", "ts", "examples/cloud")]
