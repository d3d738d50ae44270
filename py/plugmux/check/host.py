"""The runtime's end of a link, at the level of calls: what a plugin registers with, and calls of what it serves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from typing import TYPE_CHECKING

from plugmux_proto.plugins.v1.plugins_connect import RegisterService
from plugmux_proto.plugins.v1.plugins_pb2 import RegisterPluginRequest, RegisterPluginResponse

from ..connect import RpcError
from ..connect.envelope import EnvelopeReader, EnvelopeTooLarge
from ..contract.version import VERSION
from ..errors import PlugmuxError
from ..exchange import Request
from ..link.app import LinkApp
from ..link.link import Link, Peer
from .answer import Answer, StreamAnswer
from .outcome import Failed, timed_out
from .program import PluginRun

if TYPE_CHECKING:
    from ..connect import Context

__all__ = ["MAX_REPLY", "PROTO", "SHUTDOWN", "RuntimeEnd", "TestRegistrar", "accepted", "in_parts"]

MAX_REPLY = 64 * 1024 * 1024
SHUTDOWN = "/plugins.v1.PluginService/Shutdown"
PROTO = "application/proto"


def accepted() -> RegisterPluginResponse:
    """What a plugin is told that has registered."""
    return RegisterPluginResponse(engine_name="plugmux check", engine_version=VERSION)


class TestRegistrar(RegisterService):
    """Takes the registrations of one plugin, and answers when it is told to.

    Args:
        hold: whether the answer waits for `release`.
        refusal: the error to answer with, if it is to be one.
    """

    def __init__(self, *, hold: bool = False, refusal: RpcError | None = None) -> None:
        self.requests: list[RegisterPluginRequest] = []
        self.response = accepted()
        self._refusal = refusal
        self._came = asyncio.Event()
        self._released = asyncio.Event()
        if not hold:
            self._released.set()

    async def register_plugin(self, request: RegisterPluginRequest, context: Context) -> RegisterPluginResponse:
        """Note a registration and answer it."""
        self.requests.append(request)
        self.response.protocol_version = max(request.protocol_versions, default=1)
        self._came.set()
        await self._released.wait()
        if self._refusal is not None:
            raise self._refusal
        return self.response

    def release(self) -> None:
        """Answer what waits, and all that comes."""
        self._released.set()

    async def wait(self) -> RegisterPluginRequest:
        """Wait for the first registration."""
        await self._came.wait()
        return self.requests[0]


class RuntimeEnd:
    """The runtime's end of the link to a plugin that has been launched.

    Args:
        program: the plugin's process.
        registrar: where it registers.
        timeout: seconds that each answer may take.
    """

    def __init__(self, program: PluginRun, registrar: TestRegistrar, timeout: float) -> None:
        self.program = program
        self.registrar = registrar
        self.timeout = timeout
        self.link = Link(LinkApp([registrar]), initiator=False, peer=Peer("the plugin"))

    @property
    def registration(self) -> RegisterPluginRequest:
        """What it has registered with."""
        return self.registrar.requests[0]

    async def wait_registered(self, timeout: float) -> None:
        """Wait for the plugin to register.

        Args:
            timeout: seconds that it may take.

        Raises:
            Failed: it did not, or ended before.
        """
        registered = asyncio.ensure_future(self.registrar.wait())
        ended = asyncio.ensure_future(self.program.wait())
        try:
            await asyncio.wait([registered, ended], timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if registered.done():
                return
            words = self.program.stderr_tail
            if ended.done():
                raise Failed(f"it ended with status {self.program.exit_status} before it had registered{words}")
            raise Failed(f"it did not register within {timeout:g} s (--startup-timeout gives more){words}")
        finally:
            registered.cancel()
            ended.cancel()
            await asyncio.wait([registered, ended])

    async def fetch(
        self,
        path: str,
        body: bytes | AsyncIterable[bytes] = b"",
        *,
        content_type: str = PROTO,
        headers: Sequence[tuple[bytes, bytes]] = (),
        method: str = "POST",
    ) -> Answer:
        """Make one request and return its whole answer.

        Raises:
            Failed: none came in time, or the link or the exchange broke.
        """
        fields = [*headers]
        if method != "GET":
            fields += [(b"content-type", content_type.encode()), (b"connect-protocol-version", b"1")]
        with self.told(f"{method} {path}"):
            async with asyncio.timeout(self.timeout):
                response = await self.link.transport.fetch(Request(path, fields, body, method), MAX_REPLY)
        return Answer(response.status, dict(response.headers), response.body)

    async def stream(
        self, path: str, body: bytes | AsyncIterable[bytes], *, codec: str = "proto", deadline_ms: int | None = None
    ) -> StreamAnswer:
        """Call a method that streams and return all that it answers.

        Args:
            path: of the method.
            body: the requests, each in its envelope.
            codec: `proto` or `json`.
            deadline_ms: the deadline that the plugin is told, in milliseconds.

        Raises:
            Failed: the end did not come in time, or the link or the exchange broke.
        """
        headers = [(b"content-type", f"application/connect+{codec}".encode()), (b"connect-protocol-version", b"1")]
        if deadline_ms is not None:
            headers.append((b"connect-timeout-ms", b"%d" % deadline_ms))
        with self.told(f"POST {path}"):
            async with asyncio.timeout(self.timeout):
                response = await self.link.transport.send(Request(path, headers, body))
                try:
                    reader, envelopes = EnvelopeReader(MAX_REPLY), list[tuple[int, bytes]]()
                    plain = bytearray()
                    async for chunk in response:
                        if response.status == 200:
                            envelopes += reader.feed(chunk)
                        else:
                            plain += chunk[: MAX_REPLY - len(plain)]
                finally:
                    await response.aclose()
        return StreamAnswer(response.status, dict(response.headers), bytes(plain), tuple(envelopes), reader.pending)

    def told(self, what: str) -> _PeerErrors:
        """Let what goes wrong in a block be a failure of the check, told with what was asked."""
        return _PeerErrors(self, what)

    async def ping(self) -> None:
        """See that the link works."""
        with self.told("a ping"):
            async with asyncio.timeout(self.timeout):
                await self.link.ping()

    async def shut_down(self) -> Answer:
        """Ask the plugin to end, as a runtime does first of all."""
        return await self.fetch(SHUTDOWN)

    async def wait_ended(self, after: str) -> None:
        """Wait for the plugin's process to end.

        Raises:
            Failed: it goes on.
        """
        with timed_out(f"it still ran {self.timeout:g} s after {after} (--timeout gives more)"):
            async with asyncio.timeout(self.timeout):
                await self.program.wait()

    async def close(self) -> None:
        """End the process and the link, at once."""
        try:
            await self.program.close()
        finally:
            await self.link.close(0)


class _PeerErrors:
    def __init__(self, host: RuntimeEnd, what: str) -> None:
        self._host, self._what = host, what

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, TimeoutError):
            raise Failed(f"{self._what} was not answered within {self._host.timeout:g} s (--timeout gives more)")
        if isinstance(error, EnvelopeTooLarge):
            raise Failed(f"{self._what}: {error}")
        if isinstance(error, PlugmuxError) and not isinstance(error, Failed):
            gone = "" if self._host.program.running else self._host.program.stderr_tail
            raise Failed(f"{self._what}: {error}{gone}")


async def in_parts(*parts: bytes) -> AsyncIterator[bytes]:
    """A body that is sent in parts."""
    for part in parts:
        yield part
