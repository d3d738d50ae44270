"""How one run of the plugin ended: several checks look at the same."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from plugmux_proto.resolver.v1.resolver_pb2 import GetSecretsRequest, GetSecretsResponse

from .answer import Answer
from .host import RuntimeEnd
from .methods import GET_SECRETS
from .program import PluginRun
from .subject import Subject

__all__ = ["MARK", "Ended", "end_in_order"]

MARK = "plugmux-check-5f1e0c"
"""What stands in the malformed requests that the plugin has got before its end."""

LOOK_AGAIN = 0.05


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that has ended.

    Args:
        status: its exit status.
        printed: what it printed, on stdout and stderr.
        stderr_tail: its last lines on stderr, in words that end a message.
        left: the processes that it left behind.
        shutdown: what it answered to Shutdown, where it was asked.
        secrets: the values that it gave before.
    """

    status: int | None
    printed: str
    stderr_tail: str
    left: Sequence[int] = ()
    shutdown: Answer | None = None
    secrets: Sequence[str] = ()

    @classmethod
    def of(
        cls,
        program: PluginRun,
        *,
        left: Sequence[int] = (),
        shutdown: Answer | None = None,
        secrets: Sequence[str] = (),
    ) -> Ended:
        """The end of a program; the arguments are those of the class."""
        printed = program.stdout + program.stderr
        return cls(program.exit_status, printed, program.stderr_tail, left, shutdown, secrets)


async def end_in_order(subject: Subject) -> Ended:
    """Launch the plugin, ask it for secrets and for what it cannot read, and end it as a runtime does; once.

    Raises:
        Failed: it did not come so far.
    """

    async def run() -> Ended:
        method = (await subject.methods()).unary()
        async with subject.registered() as host:
            secrets = await _secrets(host)
            await host.fetch(method.path, f'{{"{MARK}": "{MARK}"'.encode(), content_type="application/json")
            await host.fetch(method.path, MARK.encode() + b"\xff", content_type="application/proto")
            shutdown = await host.shut_down()
            await host.link.close(host.timeout)
            await host.wait_ended("Shutdown and the end of its link")
            return Ended.of(host.program, left=await _left_behind(host), shutdown=shutdown, secrets=secrets)

    return await subject.once("ended", run)


async def _secrets(host: RuntimeEnd) -> list[str]:
    if not host.registration.HasField("secrets_provider"):
        return []
    question = GetSecretsRequest(pattern=host.registration.secrets_provider.pattern)
    answer = await host.fetch(GET_SECRETS, question.SerializeToString())
    if answer.status != 200:
        return []
    return [
        envelope.value.decode("utf-8", "replace") for envelope in GetSecretsResponse.FromString(answer.body).envelopes
    ]


async def _left_behind(host: RuntimeEnd) -> list[int]:
    """What of its processes is left when all that ends has had its time."""
    loop = asyncio.get_running_loop()
    until = loop.time() + host.timeout
    while (left := host.program.left_behind()) and loop.time() < until:  # noqa: ASYNC110 -- nobody tells of them
        await asyncio.sleep(LOOK_AGAIN)
    return left
