"""Fixtures of the tests of HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from support.http_peers import Harness


@pytest.fixture
async def harness() -> AsyncIterator[Harness]:
    """Servers and connections that end with the test, leaving no connection and no task behind."""
    harness = Harness()
    yield harness
    await harness.close()


@pytest.fixture(autouse=True)
async def _no_stray_errors() -> AsyncIterator[None]:
    """Whatever reaches the event loop's exception handler fails the test."""
    found: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: found.append(context))
    yield
    assert found == []
