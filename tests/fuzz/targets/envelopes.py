"""Any bytes as the envelopes of a stream: the same, however they are cut; a service answers and ends in order."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from echo.v1.echo_connect import EchoService
from echo.v1.echo_pb2 import ChatRequest, ChatResponse

from fuzz.loop import pieces, run
from plugmux.connect import App, Context, RpcLimits
from plugmux.connect.compression import NAMES
from plugmux.connect.envelope import END_STREAM, EnvelopeReader, EnvelopeTooLarge

LIMIT = 256


class Echo(EchoService):
    """Answers each message."""

    async def chat(self, requests: AsyncIterator[ChatRequest], context: Context) -> AsyncIterator[ChatResponse]:
        async for request in requests:
            yield ChatResponse(text=request.text)


APP = App([Echo()], limits=RpcLimits(receive=LIMIT))


def check(data: bytes) -> None:
    """The first byte chooses codec and compression, the second the size of the pieces."""
    cut = pieces(data[1:])
    assert _read(cut) == _read([b"".join(cut)])
    run(_serve(data[0] if data else 0, cut))


def _read(cut: list[bytes]) -> tuple[list[tuple[int, bytes]], int]:
    """The envelopes, and what ended them: bytes left over, or the size of one that is too large (negative)."""
    reader, found = EnvelopeReader(LIMIT), []
    try:
        for piece in cut:
            found += reader.feed(piece)
    except EnvelopeTooLarge as error:
        return [], -error.size
    return found, reader.pending


async def _serve(kind: int, cut: list[bytes]) -> None:
    waiting, sent = [*cut, b""], bytearray()

    async def receive() -> dict[str, Any]:
        if not waiting:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting)}

    async def send(event: Any) -> None:
        sent.extend(event.get("body", b""))

    encoding = (*NAMES, "identity")[kind // 2 % (len(NAMES) + 1)].encode()
    headers = [
        (b"content-type", b"application/connect+" + (b"json" if kind % 2 else b"proto")),
        (b"connect-content-encoding", encoding),
        (b"connect-accept-encoding", encoding),
    ]
    scope = {"type": "http", "method": "POST", "path": "/echo.v1.EchoService/Chat", "headers": headers}
    await APP(scope, receive, send)
    if sent:  # Nothing where the caller left first.
        flags, data = EnvelopeReader(1 << 20).feed(bytes(sent))[-1]
        if flags & END_STREAM:
            assert set(json.loads(data)) <= {"error", "metadata"}
