"""Waiting for the first of several things."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

__all__ = ["first", "single"]


async def first(*waiting: Coroutine[Any, Any, Any] | float) -> None:
    """Wait until one of several is done, or a number of seconds is over; raise what a done one has raised."""
    timeout = next((item for item in waiting if isinstance(item, float | int)), None)
    tasks = [asyncio.ensure_future(item) for item in waiting if not isinstance(item, float | int)]
    try:
        done, _ = await asyncio.wait(tasks, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def single(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first plain exception of a group: a start fails for one reason that can be told."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
