"""The plugin that takes a configuration, in three languages."""

from __future__ import annotations

import sys

from .tools import ROOT, go_build, tool, ts_program


def configured_command(language: str) -> list[str]:
    """The plugin of a language, built."""
    if language == "python":
        return [sys.executable, str(ROOT / "tests/interop/configured/configured.py")]
    if language == "go":
        return [go_build("tests/interop/go", "./configured", "configured")]
    return [tool("node"), ts_program("configured", "ts", "tests/interop/ts")]
