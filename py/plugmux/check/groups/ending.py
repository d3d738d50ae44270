"""Checks of how the plugin ends."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress

from ...errors import ExchangeError, SessionClosed
from ...exchange import Request
from ..check import Group
from ..ended import end_in_order
from ..host import MAX_REPLY, SHUTDOWN, TestRegistrar
from ..outcome import expect, timed_out
from ..subject import Subject

__all__ = ["GROUP"]

GROUP = Group("ending", "How the plugin ends, whoever wants it to.")
PROTO_FIELDS = [(b"content-type", b"application/proto"), (b"connect-protocol-version", b"1")]


@GROUP.add(
    "shutdown",
    "Shutdown is answered, and the plugin ends when the link has closed.",
    "It is how a runtime ends its plugins; one that goes on is killed.",
    required=True,
)
async def shutdown(subject: Subject) -> None:
    answer = (await end_in_order(subject)).shutdown
    expect(answer and answer.status == 200, f"Shutdown was answered with {answer}")


@GROUP.add(
    "status",
    "After Shutdown, the plugin's exit status is 0.",
    "Every other is a crash to who watches the process.",
    required=False,
)
async def status(subject: Subject) -> None:
    found = await end_in_order(subject)
    expect(found.status == 0, f"it is {found.status}{found.stderr_tail}")


@GROUP.add(
    "shutdown-twice",
    "A second Shutdown is answered as the first, or the link has ended.",
    "A runtime whose first was not answered in time asks again.",
    required=False,
)
async def shutdown_twice(subject: Subject) -> None:
    async with subject.registered() as host:
        await host.shut_down()
        with suppress(SessionClosed, ExchangeError):  # It takes no more calls, and so has heard the first.
            answer = await host.link.transport.fetch(Request(SHUTDOWN, PROTO_FIELDS), MAX_REPLY)
            expect(answer.status == 200, f"it was answered with HTTP status {answer.status}")


@GROUP.add(
    "eof",
    "The plugin ends when its link does.",
    "A runtime that was killed cannot ask it to.",
    required=True,
)
async def eof(subject: Subject) -> None:
    async with subject.registered() as host:
        host.link.abort()
        await host.wait_ended("its link ended")


@GROUP.add(
    "eof-early",
    "The plugin ends when its link does before the registration has been answered.",
    "A runtime may be killed at any time.",
    required=True,
)
async def eof_early(subject: Subject) -> None:
    async with subject.launched(TestRegistrar(hold=True)) as host:
        await host.wait_registered(subject.options.startup_timeout)
        host.link.abort()
        await host.wait_ended("its link ended before it had registered")


@GROUP.add(
    "eof-in-calls",
    "The plugin ends when its link does while calls are under way.",
    "Handlers that wait for their requests must not hold it.",
    required=True,
)
async def eof_in_calls(subject: Subject) -> None:
    method = (await subject.methods()).unary()
    async with subject.raw() as link:
        for _ in range(10):
            await link.begin(method.path, content_type=method.content_type, length=10)
        await link.ping()
        link.cut()
        with timed_out(f"it still ran {link.timeout:g} s after its link ended (--timeout gives more)"):
            async with asyncio.timeout(link.timeout):
                await link.program.wait()


@GROUP.add(
    "sigterm",
    "The plugin ends at SIGTERM.",
    "A runtime, and the system, ask a process to end by it.",
    required=True,
)
async def sigterm(subject: Subject) -> None:
    async with subject.registered() as host:
        host.program.signal(signal.SIGTERM)
        await host.wait_ended("SIGTERM")


@GROUP.add(
    "calls-under-way",
    "A call that is under way at Shutdown is answered.",
    "Whoever made it would not know whether it was done.",
    required=False,
)
async def calls_under_way(subject: Subject) -> None:
    method = (await subject.methods()).unary()
    async with subject.raw() as link:
        number = await link.begin(method.path, content_type=method.content_type, length=max(len(method.body), 1))
        await link.ping()
        ending = await link.begin(SHUTDOWN)
        await link.ping()
        await link.write(number, method.body or b"\0")
        await link.answer(number)
        answer = await link.answer(ending)
        expect(answer.status == 200, f"Shutdown was answered with {answer}")


@GROUP.add(
    "no-orphan",
    "When the plugin has ended, nothing that it started is left.",
    "What is left holds files, ports and memory, and nobody knows of it.",
    required=False,
)
async def no_orphan(subject: Subject) -> None:
    left = (await end_in_order(subject)).left
    expect(not left, f"these of its processes were left: {', '.join(map(str, left))}")
