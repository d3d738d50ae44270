"""The example plugins of each language, and one that uses nothing of ours, under `plugmux check`."""

from __future__ import annotations

import pytest

from plugmux.check import CHECKS, CheckOutcome, Options, Result, Subject, run_checks
from support.probe import probe_command
from support.tools import LANGUAGES, docker_peer, example_plugin

SHORT = Options(timeout=2.0)
"""For checks that are known to fail by waiting in vain."""

NOT_OURS = {
    "launch.own-variable",
    "launch.pipes",
    "health.service",
    "health.unknown-service",
    "load.limit",
    "load.deadline",
    "yamux.wrong-side",
}
"""What is recommended, and no part of the wire that Docker's plugins speak."""

KNOWN: dict[str, set[str]] = {"python": set(), "go": set(), "ts": set(), "docker": NOT_OURS}
"""The recommended checks that a plugin need not pass."""


def command(plugin: str) -> list[str]:
    return [docker_peer(), "plugin"] if plugin == "docker" else example_plugin(plugin)


async def results(plugin: str, options: Options, *, known: bool) -> list[Result]:
    checks = [check for check in CHECKS if (check.id in KNOWN[plugin]) is known]
    return [result async for result in run_checks(Subject(command(plugin), options), checks)]


@pytest.mark.timeout(600)  # It launches the plugin some thirty times.
@pytest.mark.parametrize("plugin", KNOWN)
async def test_an_example_passes_every_check_but_those_known(plugin: str) -> None:
    found = await results(plugin, Options(timeout=120.0), known=False)
    failed = {result.check.id: result.message for result in found if result.outcome is CheckOutcome.FAILED}
    assert failed == {}
    skipped = {result.check.id for result in found if result.outcome is CheckOutcome.SKIPPED}
    assert skipped.isdisjoint({"launch.socket", "calls.unary", "secrets.get"})


async def test_what_is_ours_alone_fails_for_a_plugin_of_another_sdk_and_is_no_fault_of_it() -> None:
    found = await results("docker", SHORT, known=True)
    assert not any(result.breaks for result in found)
    assert {result.check.id for result in found if result.outcome is CheckOutcome.FAILED} == NOT_OURS


@pytest.mark.parametrize("language", LANGUAGES)
async def test_streams_of_requests_are_found_by_reflection_and_called(language: str) -> None:
    """The probe calls its host back, which here serves nothing: that its streams end as they should is all."""
    checks = [check for check in CHECKS if check.id in ("calls.client-stream", "calls.bidi", "load.large")]
    subject = Subject(probe_command(language), Options())
    found = {result.check.id: result.message async for result in run_checks(subject, checks)}
    assert found == dict.fromkeys((check.id for check in checks), "")
