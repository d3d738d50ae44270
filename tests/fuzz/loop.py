"""One event loop for all inputs of a fuzzer, and what must hold of it after each."""

from __future__ import annotations

import asyncio
import atexit
from collections.abc import Coroutine
from typing import Any

__all__ = ["pieces", "run"]

TIME_LIMIT = 60.0
"""Seconds: an input that waits for what never comes ends there, on the busiest machine as well."""

_runner = asyncio.Runner()
atexit.register(_runner.close)


def run(scenario: Coroutine[Any, Any, None]) -> None:
    """Run a scenario that must end by itself and leave no task and nothing for the loop to complain of."""
    complaints: list[dict[str, Any]] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        async with asyncio.timeout(TIME_LIMIT):
            await scenario
        assert not complaints, complaints
        assert len(asyncio.all_tasks()) == 1, asyncio.all_tasks()

    _runner.run(main())


def pieces(data: bytes) -> list[bytes]:
    """Data in pieces whose size the first byte tells, 0 for whole; without that byte."""
    size, rest = data[:1], data[1:]
    step = (size[0] if size else 0) or max(len(rest), 1)
    return [rest[start : start + step] for start in range(0, len(rest), step)]
