"""Waiting for the first of several coroutines."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

__all__ = ["race"]


async def race(*waiting: Coroutine[Any, Any, Any] | float) -> None:
    """Wait until one of several coroutines is done, or a number of seconds has passed; raise what a done one raised."""
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
