"""The plugin that takes a configuration, in three languages."""

from __future__ import annotations

import sys

from .tools import ROOT, go_build, npm_build, tool


def configured_command(language: str) -> list[str]:
    """The plugin of a language, built."""
    if language == "python":
        return [sys.executable, str(ROOT / "tests/interop/configured/configured.py")]
    if language == "go":
        return [go_build("tests/interop/go", "./configured", "configured")]
    npm_build("ts", "tests/interop/ts")
    return [tool("node"), str(ROOT / "tests/interop/ts/dist/tests/interop/ts/src/configured.js")]
