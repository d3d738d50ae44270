"""Checks of calls at their limits: many, large, slow, broken off, malformed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

from ...connect import Code, Kind
from ...connect.envelope import envelope
from ...yamux.frame import DATA, RST, SYN, WINDOW_UPDATE, pack_header
from ..check import Group
from ..methods import Method, padded
from ..outcome import expect
from ..raw import head_of
from ..subject import Subject

__all__ = ["GROUP"]

GROUP = Group("load", "Calls at their limits: many, large, late, broken off, malformed.")
AT_ONCE = 1000
PART = 1024 * 1024
PARTS = 64
LONG_HEAD = 2 * 1024 * 1024
ANNOUNCED = 2**31 - 1
"""Bytes of a body that is announced, of which none is sent."""

DEADLINE = 200
"""Milliseconds."""


@GROUP.add(
    "thousand",
    "A thousand calls at once are all answered, each as one alone.",
    "A host does not count its calls: the window of streams does it.",
    required=True,
)
async def thousand(subject: Subject) -> None:
    host = await subject.shared()
    method = (await subject.methods()).unary()

    async def call() -> tuple[int, Code | None]:
        answer = await host.fetch(method.path, method.body, content_type=method.content_type)
        return answer.status, answer.code

    alone = await call()
    results = await asyncio.gather(*(call() for _ in range(AT_ONCE)), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    others = Counter(result for result in results if result != alone)
    expect(not others, f"alone it is answered with {alone[0]}; of {AT_ONCE}, {others.total()} were with {list(others)}")


@GROUP.add(
    "large",
    "64 MiB in parts of 1 MiB arrive: on one stream where a method takes one, else in one call after the other.",
    "Credit must be given again as it is used, or the stream stops.",
    required=True,
)
async def large(subject: Subject) -> None:
    host, methods = await subject.shared(), await subject.methods()
    streams = [m for m in methods.found if m.kind is Kind.CLIENT_STREAM and m.codec == "proto"]
    if not streams:
        method = methods.unary()
        body = padded(method, PART)
        before = await host.fetch(method.path, method.body)
        for _ in range(PARTS):
            answer = await host.fetch(method.path, body)
            expect(answer.code is before.code, f"with 1 MiB in a field of its own it was answered with {answer}")
        return
    streamed = await host.stream(streams[0].path, _parts(streams[0]))
    streamed.end_code()


async def _parts(method: Method) -> AsyncIterator[bytes]:
    message = envelope(padded(method, PART))
    for _ in range(PARTS):
        yield message


@GROUP.add(
    "limit",
    "A body of 2 GiB is refused with resource_exhausted or 413, before 64 MiB of it have come.",
    "What takes memory for it can be ended by anybody who calls it.",
    required=False,
)
async def limit(subject: Subject) -> None:
    method = (await subject.methods()).unary()
    link = await subject.shared_raw()
    number = await link.begin(method.path, content_type=method.content_type, length=ANNOUNCED)
    stream, sent = link.streams[number], 0
    while sent < PART * PARTS and not (stream.data or stream.finished or stream.reset):
        await link.until(lambda: stream.window or stream.data or stream.reset, "credit, or an answer")
        piece = min(stream.window, 65536)
        if piece and not stream.data:
            await link.write(number, bytes(piece))
            sent += piece
    await link.reset(number)
    expect(stream.data or stream.finished or stream.reset, f"it has taken {sent >> 20} MiB of it")
    answer = await link.answer(number)
    refused = answer.status == 413 or answer.code is Code.RESOURCE_EXHAUSTED
    expect(refused, f"it was answered with {answer}: {answer.shown}")


@GROUP.add(
    "deadline",
    "A call whose time limit runs out before its body has come is answered with deadline_exceeded.",
    "The caller has gone; what is left of the call only costs memory.",
    required=False,
)
async def deadline(subject: Subject) -> None:
    method = (await subject.methods()).unary()
    link = await subject.shared_raw()
    told = [(b"Connect-Timeout-Ms", b"%d" % DEADLINE)]
    stream = await link.begin(method.path, content_type=method.content_type, length=10, headers=told)
    answer = await link.answer(stream)
    expect(answer.code is Code.DEADLINE_EXCEEDED, f"it was answered with {answer}: {answer.shown}")


@GROUP.add(
    "cancel",
    "A call that is reset before its body has come disturbs no other.",
    "Callers give up all the time, and each does it by a reset.",
    required=True,
)
async def cancel(subject: Subject) -> None:
    method = (await subject.methods()).unary()
    link = await subject.shared_raw()
    other = await link.begin(method.path, content_type=method.content_type, length=len(method.body))
    stream = await link.begin(method.path, content_type=method.content_type, length=len(method.body) + 10)
    await link.send(WINDOW_UPDATE, RST, stream, 0)
    if method.body:
        await link.write(other, method.body)
    await link.answer(other)
    await link.health()


@GROUP.add(
    "cancel-stream",
    "A stream of answers that is given up disturbs no other call.",
    "Who watches something stops watching sooner or later.",
    required=True,
)
async def cancel_stream(subject: Subject) -> None:
    method = (await subject.methods()).of_kind(Kind.SERVER_STREAM)[0]
    link = await subject.shared_raw()
    kind = f"application/connect+{method.codec}"
    stream = await link.begin(method.path, method.enveloped, content_type=kind)
    await link.ping()
    await link.send(WINDOW_UPDATE, RST, stream, 0)
    await link.health()


@GROUP.add(
    "slow-body",
    "A request that comes byte by byte is answered as any other.",
    "Frames are cut anywhere, also within a header field.",
    required=True,
)
async def slow_body(subject: Subject) -> None:
    method = (await subject.methods()).unary()
    link = await subject.shared_raw()
    whole = await link.answer(await link.begin(method.path, method.body, content_type=method.content_type))
    stream = link.new_stream()
    request = head_of(method.path, len(method.body), method.content_type) + method.body
    for at, byte in enumerate(request):
        await link.send_apart(pack_header(DATA, SYN if at == 0 else 0, stream, 1) + bytes([byte]))
    answer = await link.answer(stream)
    expect(answer.code is whole.code, f"whole it was answered with {whole}, in pieces with {answer}")


@GROUP.add(
    "ends-stream",
    "When it has answered, the plugin ends its side of the stream.",
    "A runtime waits for open streams when it closes, and would wait for this one.",
    required=True,
)
async def ends_stream(subject: Subject) -> None:
    link = await subject.shared_raw()
    number = await link.begin("/health", method="GET")
    await link.answer(number)
    stream = link.streams[number]
    await link.until(lambda: stream.finished or stream.reset, "the end of the answer's stream")


@GROUP.add(
    "bad-http",
    "What is no HTTP is refused on its stream, and disturbs no other.",
    "One broken caller must not end the link of all.",
    required=True,
)
async def bad_http(subject: Subject) -> None:
    link = await subject.shared_raw()
    number = link.new_stream()
    await link.write(number, b"this is \x00 no HTTP\r\n\r\n", SYN)
    stream = link.streams[number]
    await link.until(lambda: stream.finished or stream.reset, "the end of a stream without HTTP")
    await link.health()


@GROUP.add(
    "long-head",
    "A head of 2 MiB is refused on its stream, and disturbs no other.",
    "Heads are kept in memory until they are whole.",
    required=False,
)
async def long_head(subject: Subject) -> None:
    link = await subject.shared_raw()
    number = link.new_stream()
    stream = link.streams[number]
    await link.write(number, b"POST / HTTP/1.1\r\nHost: unix\r\nX: ", SYN)
    sent = 0
    while sent < LONG_HEAD and not (stream.finished or stream.reset):
        await link.until(lambda: stream.window or stream.finished or stream.reset, "credit for a long head, or its end")
        piece = min(stream.window, 32768)
        if piece:
            await link.write(number, b"x" * piece)
            sent += piece
    await link.until(lambda: stream.finished or stream.reset, "the end of a stream with a head of 2 MiB")
    await link.health()
