"""HTTP on the streams of a real mux: our server, uvicorn's protocols, and other people's apps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request as StarletteRequest
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route
from uvicorn import Config as UvicornConfig
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from plugmux.errors import ExchangeError, LinkError, SessionClosed
from plugmux.exchange import Request, Response
from plugmux.http import StreamClient, upgrade
from plugmux.yamux import Mux
from support.http_peers import EchoCall, FastPathEcho, Harness, connect, echo

SIZES = [0, 5, 70_000, 3_000_000]


async def pieces(data: bytes, size: int = 10_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


@pytest.mark.parametrize("app", [echo, FastPathEcho(EchoCall(limit=1 << 24))], ids=["asgi", "fast path"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("streamed", [False, True])
async def test_bodies_of_any_size_cross_both_ways(harness: Harness, app: Any, size: int, streamed: bool) -> None:
    calling, serving = await harness.muxes_for(app)
    client = StreamClient(calling.open)
    data = bytes(range(251)) * (size // 251 + 1)
    data = data[:size]
    response = await client.fetch(Request("/", body=pieces(data) if streamed else data), 1 << 24)
    assert response.body == data
    incoming = await client.send(Request("/", body=pieces(data) if streamed else data))
    assert b"".join([piece async for piece in incoming]) == data
    await calling.wait_idle()
    await serving.wait_idle()


async def test_a_hundred_requests_at_once_each_have_a_stream(harness: Harness) -> None:
    calling, serving = await harness.muxes_for(FastPathEcho())
    client = StreamClient(calling.open)
    bodies = [b"%d" % n * n for n in range(100)]
    responses = await asyncio.gather(*(client.fetch(Request("/", body=body), 1 << 20) for body in bodies))
    assert [response.body for response in responses] == bodies
    await calling.wait_idle()
    await serving.wait_idle()


async def test_a_unary_exchange_takes_one_frame_each_way(harness: Harness) -> None:
    calling, _ = await harness.muxes_for(FastPathEcho())
    frames: list[int] = []
    transport = calling._transport
    write = transport.write

    def count(data: Any) -> None:
        frames.append(len(data))
        write(data)

    transport.write = count  # type: ignore[method-assign]  # replaced to count
    await StreamClient(calling.open).fetch(Request("/", body=b"hello"), 100)
    assert len(frames) == 1


@pytest.mark.parametrize("how", ["fetch", "send"])
async def test_a_call_that_is_cancelled_cancels_the_handler_at_the_other_end(harness: Harness, how: str) -> None:
    began, cancelled = asyncio.Event(), asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    calling, serving = await harness.muxes_for(app)
    client = StreamClient(calling.open)
    call = client.fetch(Request("/"), 1) if how == "fetch" else client.send(Request("/"))
    task: asyncio.Task[Any] = asyncio.ensure_future(call)
    await began.wait()
    task.cancel()
    await cancelled.wait()
    await asyncio.wait([task])
    await calling.wait_idle()
    await serving.wait_idle()
    assert not calling.closed


async def test_a_call_whose_session_ends_says_so(harness: Harness) -> None:
    began = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        began.set()
        await asyncio.Event().wait()

    calling, serving = await harness.muxes_for(app)
    client = StreamClient(calling.open)
    task = asyncio.ensure_future(client.fetch(Request("/"), 1))
    await began.wait()
    serving.abort(SessionClosed("over"))
    with pytest.raises(ExchangeError, match="before the response had begun") as caught:
        await task
    assert isinstance(caught.value.__cause__, LinkError)
    await calling.wait_closed()
    with pytest.raises(SessionClosed):
        await client.fetch(Request("/"), 1)


async def test_an_early_refusal_of_a_large_body_reaches_the_caller(harness: Harness) -> None:
    calling, serving = await harness.muxes_for(FastPathEcho(EchoCall(limit=100)))
    client = StreamClient(calling.open)
    data = bytes(5_000_000)
    for body in (data, pieces(data)):
        response = await client.fetch(Request("/", body=body), 100)
        assert response.status == 413
    await calling.wait_idle()
    await serving.wait_idle()


async def test_a_slow_reader_holds_up_nobody_else(harness: Harness) -> None:
    async def endless(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/echo":
            await echo(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200})
        while True:
            await send({"type": "http.response.body", "body": b"x" * 50_000, "more_body": True})

    calling, _ = await harness.muxes_for(endless)
    client = StreamClient(calling.open)
    incoming = await client.send(Request("/endless"))
    for _ in range(20):
        assert (await client.fetch(Request("/echo", body=b"hello"), 100)).body == b"hello"
    await incoming.aclose()


async def test_a_session_on_an_upgraded_connection_serves_at_once(harness: Harness) -> None:
    """The hijack: whoever answers 101 begins to speak yamux before the caller has seen it."""
    ended = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        mux = Mux(client=False)
        await scope["extensions"]["plugmux.upgrade"](lambda: mux, headers=[(b"upgrade", b"tcp")])
        mux.listen(harness.server(echo).protocol)
        response = await StreamClient(mux.open).fetch(Request("/", body=b"from the runtime"), 100)
        assert response.body == b"from the runtime"
        await mux.wait_closed()
        ended.set()

    ours = Mux(client=True)
    ours.listen(harness.server(echo).protocol)
    harness.muxes.append(ours)
    opening = asyncio.Protocol()
    transport = await connect(opening, harness.server(app).protocol())
    await upgrade(transport, "/hijack", [(b"upgrade", b"tcp")], lambda: ours, 5)
    response = await StreamClient(ours.open).fetch(Request("/", body=b"from the plugin"), 100)
    assert response.body == b"from the plugin"
    await ours.close()
    await ended.wait()


# Other people's servers and apps


def uvicorn_on(mux: Mux, app: Any) -> ServerState:
    """Serve an app on a mux with uvicorn's protocol class."""
    config = UvicornConfig(app, log_config=None, lifespan="off")
    config.load()
    state = ServerState()
    mux.listen(lambda: H11Protocol(config, state, {}))
    return state


async def test_uvicorn_serves_on_streams_as_it_does_on_sockets(harness: Harness) -> None:
    calling, serving = Mux(client=False), Mux(client=True)
    state = uvicorn_on(serving, echo)
    await connect(calling, serving)
    harness.muxes += [calling, serving]
    client = StreamClient(calling.open)
    for size in SIZES:
        for body in (bytes(size), pieces(bytes(size))):
            response = await client.fetch(Request("/", body=body), 1 << 24)
            assert (response.status, len(response.body)) == (200, size)
    incoming = await client.send(Request("/", body=pieces(bytes(500_000))))
    assert len(b"".join([piece async for piece in incoming])) == 500_000
    await calling.wait_idle()
    await serving.wait_idle()
    assert not state.connections
    assert not state.tasks


def starlette(after: asyncio.Event) -> Starlette:
    async def upper(request: StarletteRequest) -> PlainTextResponse:
        return PlainTextResponse((await request.body()).upper())

    async def count(request: StarletteRequest) -> StreamingResponse:
        async def numbers() -> AsyncIterator[bytes]:
            for number in range(int(request.query_params["to"])):
                yield b"%d " % number

        return StreamingResponse(numbers())

    async def background(request: StarletteRequest) -> PlainTextResponse:
        async def work() -> None:
            after.set()

        return PlainTextResponse("soon", background=BackgroundTask(work))

    return Starlette(
        routes=[
            Route("/upper", upper, methods=["POST"]),
            Route("/count", count),
            Route("/background", background),
        ]
    )


async def test_a_starlette_app_is_served(harness: Harness) -> None:
    after = asyncio.Event()
    server = harness.server(starlette(after), lifespan=True)
    await server.startup()
    calling, serving = await harness.muxes_for(server)
    client = StreamClient(calling.open)

    async def ask(path: str, method: str = "GET", body: Any = b"") -> Response:
        return await client.fetch(Request(path, body=body, method=method), 1 << 20)

    assert (await ask("/upper", "POST", b"hello")).body == b"HELLO"
    assert (await ask("/upper", "POST", pieces(b"hello", 2))).body == b"HELLO"
    assert (await ask("/count?to=4")).body == b"0 1 2 3 "
    assert (await ask("/count?to=2000")).body.endswith(b" 1999 ")
    assert (await ask("/background")).body == b"soon"
    await after.wait()
    assert (await ask("/nowhere")).status == 404
    assert (await ask("/upper")).status == 405
    await serving.wait_idle()


async def test_a_starlette_stream_ends_when_its_caller_closes_it(harness: Harness) -> None:
    ended = asyncio.Event()

    async def forever(request: StarletteRequest) -> StreamingResponse:
        async def numbers() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"x" * 1000
            finally:
                ended.set()

        return StreamingResponse(numbers())

    calling, serving = await harness.muxes_for(Starlette(routes=[Route("/", forever)]))
    incoming = await StreamClient(calling.open).send(Request("/", method="GET"))
    await anext(aiter(incoming))
    await incoming.aclose()
    await ended.wait()
    await serving.wait_idle()


async def test_a_fastapi_app_is_served(harness: Harness) -> None:
    app = FastAPI()

    @app.post("/items/{item}")
    async def post(item: int, body: dict[str, int]) -> dict[str, int]:
        return {"item": item, **body}

    calling, serving = await harness.muxes_for(app)
    client = StreamClient(calling.open)
    json = [(b"content-type", b"application/json")]
    response = await client.fetch(Request("/items/7", json, b'{"a": 1}'), 1 << 20)
    assert (response.status, response.body) == (200, b'{"item":7,"a":1}')
    assert (await client.fetch(Request("/items/x", json, b'{"a": 1}'), 1 << 20)).status == 422
    await serving.wait_idle()
