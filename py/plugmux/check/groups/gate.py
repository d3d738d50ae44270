"""Checks of what the plugin answers before its registration has completed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ..check import Group
from ..host import SHUTDOWN, RuntimeEnd, TestRegistrar
from ..methods import HEALTH_CHECK
from ..outcome import NotApplicable, expect
from ..subject import Subject

__all__ = ["GROUP"]

GROUP = Group("gate", "What waits until the plugin has registered, and what does not.")
HELD = 0.3
"""Seconds that an answer which should wait is given to come all the same."""

SHORT_REGISTRATION = 2.0
"""Seconds that a plugin is told it has, where its registration is never answered."""


@GROUP.add(
    "holds",
    "A call that comes before the registration has been answered waits for it, and is answered then.",
    "The answer brings the plugin's configuration; a service that is called before runs without it.",
    required=True,
)
async def holds(subject: Subject) -> None:
    method = (await subject.methods()).unary()
    if method.path == HEALTH_CHECK:
        raise NotApplicable("no unary method of its services is known (--request names one)")
    async with _unanswered(subject) as host:
        call = asyncio.ensure_future(host.fetch(method.path, method.body, content_type=method.content_type))
        try:
            await host.ping()  # It has read the call.
            await asyncio.wait([call], timeout=HELD)
            early = call.done()
            host.registrar.release()
            answer = await call
        finally:
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
    expect(not early, f"{method.path} was answered with {answer} before the registration was")
    expect(answer.status != 503, f"{method.path} was answered with {answer} after the registration")


@GROUP.add(
    "health",
    "GET /health is answered before the registration has been.",
    "A runtime tells a plugin that starts slowly from one that hangs.",
    required=False,
)
async def health(subject: Subject) -> None:
    async with _unanswered(subject) as host:
        answer = await host.fetch("/health", method="GET")
        expect(answer.status == 200, f"it was answered with {answer}")


@GROUP.add(
    "shutdown",
    "Shutdown is answered before the registration has been.",
    "A runtime that closes while plugins start would otherwise have to wait for them, or kill them.",
    required=False,
)
async def shutdown(subject: Subject) -> None:
    async with _unanswered(subject) as host:
        answer = await host.fetch(SHUTDOWN)
        expect(answer.status == 200, f"it was answered with {answer}")


@GROUP.add(
    "gives-up",
    "A plugin whose registration is not answered within the time that it was told ends.",
    "A runtime that hangs must not leave its plugins behind.",
    required=False,
)
async def gives_up(subject: Subject) -> None:
    async with subject.launched(TestRegistrar(hold=True), timeout=SHORT_REGISTRATION) as host:
        await host.wait_ended(f"it was told that it has {SHORT_REGISTRATION:g} s to register")


@asynccontextmanager
async def _unanswered(subject: Subject) -> AsyncIterator[RuntimeEnd]:
    """A plugin that waits for the answer to its registration."""
    async with subject.launched(TestRegistrar(hold=True)) as host:
        await host.wait_registered(subject.options.startup_timeout)
        yield host
