from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from support.probe import Probe, running


@pytest.fixture(params=["python", "go", "ts"])
async def probe(request: pytest.FixtureRequest) -> AsyncIterator[Probe]:
    """The probe of each language, running."""
    async with running(request.param) as probe:
        yield probe
