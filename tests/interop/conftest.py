from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from support.probe import Probe, running


@pytest_asyncio.fixture(params=["python", "go", "ts"], scope="module", loop_scope="module")
async def running_probe(request: pytest.FixtureRequest) -> AsyncIterator[Probe]:
    """The probe of each language, running for all tests of a module."""
    async with running(request.param) as probe:
        yield probe


@pytest_asyncio.fixture(loop_scope="module")
async def probe(running_probe: Probe) -> AsyncIterator[Probe]:
    """The same, for one test, which leaves it unhurt."""
    async with running_probe.unhurt():
        yield running_probe
