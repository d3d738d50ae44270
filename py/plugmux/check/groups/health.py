"""Checks of what the plugin tells of its health."""

from __future__ import annotations

from ...connect import Code
from ..check import Group
from ..methods import HEALTH_CHECK
from ..outcome import expect
from ..subject import Subject

__all__ = ["GROUP"]

GROUP = Group("health", "How the plugin tells that it is well.")
SERVING = b"\x08\x01"
"""A HealthCheckResponse whose status is SERVING."""

UNKNOWN_SERVICE = b"\x0a\x07no.Such"
OPEN_CALLS = 100


@GROUP.add(
    "get",
    'GET /health is answered with 200 and "ok".',
    "Both ends of the wire serve it, and runtimes ask for it.",
    required=True,
)
async def get(subject: Subject) -> None:
    answer = await (await subject.shared()).fetch("/health", method="GET")
    expect(answer.status == 200, f"it was answered with {answer}")
    expect(answer.body.strip() == b"ok", f"the body is {answer.shown}")


@GROUP.add(
    "under-load",
    "GET /health is answered while other calls are under way.",
    "A plugin that is busy would pass for one that hangs.",
    required=True,
)
async def under_load(subject: Subject) -> None:
    method = (await subject.methods()).unary()
    link = await subject.shared_raw()
    numbers = [await link.begin(method.path, content_type=method.content_type, length=10) for _ in range(OPEN_CALLS)]
    await link.health()
    for number in numbers:
        await link.reset(number)


@GROUP.add(
    "service",
    "grpc.health.v1.Health/Check tells SERVING.",
    "Runtimes of plugmux, and many tools, ask this service.",
    required=False,
)
async def service(subject: Subject) -> None:
    answer = await (await subject.shared()).fetch(HEALTH_CHECK)
    expect(answer.status == 200, f"it was answered with {answer}")
    expect(answer.body == SERVING, f"it does not tell SERVING: the body is {answer.body[:32].hex()!r}")


@GROUP.add(
    "unknown-service",
    "grpc.health.v1.Health/Check of a service that the plugin does not know is answered with not_found.",
    "The protocol says so; a program would take a service that is not there for a healthy one.",
    required=False,
)
async def unknown_service(subject: Subject) -> None:
    answer = await (await subject.shared()).fetch(HEALTH_CHECK, UNKNOWN_SERVICE)
    code = answer.error_code()
    expect(code is Code.NOT_FOUND, f"it was answered with {answer}")
