"""Runs checks against a plugin, one after the other."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from enum import Enum

from ..errors import ConfigError, PlugmuxError
from .check import Check
from .outcome import NotApplicable
from .subject import Subject

__all__ = ["CheckOutcome", "Result", "run_checks"]


class CheckOutcome(Enum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Result:
    """What one check has found.

    Args:
        check: the check.
        outcome: how it ended.
        message: what the plugin did in place of what it should, or why the check does not apply.
        seconds: how long it took.
    """

    check: Check
    outcome: CheckOutcome
    message: str = ""
    seconds: float = 0.0

    @property
    def breaks(self) -> bool:
        """Whether the plugin does not speak the wire."""
        return self.outcome is CheckOutcome.FAILED and self.check.required


async def run_checks(subject: Subject, checks: Iterable[Check]) -> AsyncIterator[Result]:
    """Run checks and yield the result of each as it is there; the subject is closed at the end.

    Raises:
        ConfigError: what the subject was told does not fit the plugin, such as a request.
    """
    try:
        for check in checks:
            if subject.silent:
                yield Result(check, CheckOutcome.SKIPPED, "the plugin runs, but does not register")
            else:
                yield await _run(subject, check)
    finally:
        await subject.close()


async def _run(subject: Subject, check: Check) -> Result:
    begun, outcome, message = time.monotonic(), CheckOutcome.PASSED, ""
    try:
        await check.test(subject)
    except NotApplicable as reason:
        outcome, message = CheckOutcome.SKIPPED, str(reason)
    except ConfigError:
        raise
    except (PlugmuxError, OSError, TimeoutError) as error:
        outcome, message = CheckOutcome.FAILED, str(error) or type(error).__name__
    return Result(check, outcome, message, time.monotonic() - begun)
