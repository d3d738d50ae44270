"""One broken plugin for each check: it fails that check, and the same plugin without the fault passes all."""

from __future__ import annotations

import asyncio

import pytest

from plugmux.check import CHECKS, GROUPS, Check, CheckOutcome, Group, Options, Result, Subject, run_checks
from support.faulty import FAULTY_PLUGIN

AT_ONCE = 4
CONFIGURATION = '{"user": {"password": "correct horse"}}'
WAITS_IN_VAIN = Options(timeout=2.0, configuration=CONFIGURATION)
"""Many faults are that something never comes: how long it is waited for decides nothing."""


async def broken(check: Check, places: asyncio.Semaphore) -> Result:
    """What a check says of the plugin with the fault of its name."""
    async with places:
        (result,) = [result async for result in run_checks(Subject([*FAULTY_PLUGIN, check.id], WAITS_IN_VAIN), [check])]
    return result


@pytest.mark.timeout(300)  # It launches a plugin for each check.
@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
async def test_a_check_fails_for_the_plugin_that_has_its_fault(group: Group) -> None:
    places = asyncio.Semaphore(AT_ONCE)
    results = await asyncio.gather(*(broken(check, places) for check in group.checks))
    assert {result.check.id: result.message for result in results if result.outcome is not CheckOutcome.FAILED} == {}
    assert all(result.message for result in results)


@pytest.mark.timeout(300)
async def test_the_plugin_without_a_fault_passes_every_check() -> None:
    results = [
        result async for result in run_checks(Subject(FAULTY_PLUGIN, Options(configuration=CONFIGURATION)), CHECKS)
    ]
    assert {result.check.id: result.message for result in results if result.outcome is not CheckOutcome.PASSED} == {}
    assert len(results) == len(CHECKS)
