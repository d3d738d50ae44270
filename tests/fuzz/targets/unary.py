"""Any head and body of a unary call, by POST and by GET: one response, whose failure is JSON of a known code."""

from __future__ import annotations

import json
from typing import Any

from echo.v1.echo_connect import EchoService
from echo.v1.echo_pb2 import SayRequest, SayResponse

from fuzz.loop import run
from plugmux.connect import App, Code, Context, RpcLimits

NAMES = (b"content-type", b"content-encoding", b"accept-encoding", b"connect-timeout-ms", b"connect-protocol-version")


class Echo(EchoService):
    """Answers with what it was told."""

    async def say(self, request: SayRequest, context: Context) -> SayResponse:
        return SayResponse(text=request.text)


APP = App([Echo()], limits=RpcLimits(receive=1000))


def check(data: bytes) -> None:
    """Lines: method, query, a value for each header field; then the body."""
    method, query, *values, body = [*data.split(b"\n", 6), *[b""] * 8][:8]
    headers = [(name, value) for name, value in zip(NAMES, values, strict=False) if value]
    run(_serve("GET" if method == b"GET" else "POST", query, headers, body))


async def _serve(method: str, query: bytes, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    sent: list[Any] = []
    events = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        return events.pop() if events else {"type": "http.disconnect"}

    async def send(event: Any) -> None:
        sent.append(event)

    path = "/echo.v1.EchoService/Say"
    scope = {"type": "http", "method": method, "path": path, "query_string": query, "headers": headers}
    await APP(scope, receive, send)
    if not sent:  # The caller's leaving was seen before the answer.
        return
    start, answer = sent
    if dict(start["headers"]).get(b"content-type") == b"application/json" and start["status"] != 200:
        assert json.loads(answer["body"])["code"] in [code.value for code in Code]
