"""The vectors of envelopes, which the SDKs of all languages share: bytes of a stream, and what a plugin answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from memory import MemoryTransport
from plugmux.connect import App
from plugmux.connect.envelope import END_STREAM, EnvelopeReader
from plugmux.exchange import Request
from plugmux.services.reflection import ReflectionService
from support.vectors import table

CASES = table("envelopes.json")["cases"]
PATH = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
async def test_a_stream_is_read_as_in_every_language(case: dict[str, Any]) -> None:
    headers = [(b"content-type", b"application/connect+proto")]
    if encoding := case.get("encoding"):
        headers.append((b"connect-content-encoding", encoding.encode()))
    transport = MemoryTransport(App([ReflectionService([])]))
    reply = await transport.fetch(Request(PATH, headers, bytes.fromhex(case["body"])), 1 << 20)
    *messages, (flags, end) = EnvelopeReader(1 << 20).feed(reply.body)
    assert (reply.status, flags) == (200, END_STREAM)
    assert (len(messages), json.loads(end).get("error", {}).get("code")) == (case["messages"], case.get("code"))
