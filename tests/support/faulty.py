"""The plugin that is written by hand, and has the fault that its argument names."""

import sys

from .tools import ROOT

__all__ = ["FAULTY_PLUGIN"]

FAULTY_PLUGIN = [sys.executable, "-S", "-E", str(ROOT / "tests/check/plugin/faulty.py")]
"""Its command: of the standard library alone, so that it starts at once."""
