"""Conformance checks of a plugin in any language: `plugmux check`.

A `Check` is one statement about a plugin. `run_checks` launches the plugin that a `Subject` describes, as a runtime
does, and yields a `Result` for each check.
"""

from .check import Check, Group
from .groups import CHECKS, GROUPS
from .subject import Options, Subject
from .suite import CheckOutcome, Result, run_checks

__all__ = ["CHECKS", "GROUPS", "Check", "Group", "Options", "CheckOutcome", "Result", "Subject", "run_checks"]
