"""Our app in other people's servers and frameworks, our client over other people's HTTP."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import fastapi
import httpx
import httpx2
import pytest
import starlette.applications
import starlette.routing
import uvicorn
from echo.v1.echo_connect import EchoClient, EchoSyncClient
from echo.v1.echo_pb2 import ChatRequest, CountRequest, SayRequest, SumRequest

from links import listening
from plugmux.connect import App, Code, RpcError
from plugmux.http import SocketClient
from test_calls import Echo


def plain(app: App) -> Any:
    return app


def in_starlette(app: App) -> Any:
    return starlette.applications.Starlette(routes=[starlette.routing.Mount("/", app)])


def in_fastapi(app: App) -> Any:
    outer = fastapi.FastAPI()
    outer.mount("/", app)
    return outer


@asynccontextmanager
async def uvicorn_listening(app: Any) -> AsyncIterator[str]:
    sock = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none"))
    serving = asyncio.ensure_future(server.serve([sock]))
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving
        sock.close()


async def exercise(client: EchoClient) -> None:
    """Make calls of every kind, half duplex."""
    assert (await client.say(SayRequest(text="x"), timeout=30)).text == "x"
    assert [reply.number async for reply in client.count(CountRequest(to=20))] == list(range(1, 21))
    assert (await client.sum(SumRequest(number=number) for number in range(10))).sum == 45
    async with client.chat() as call:
        await call.send(ChatRequest(text="a"))
        await call.send(ChatRequest(text="b"))
        await call.close_send()
        assert [reply.text async for reply in call] == ["A", "B"]
    with pytest.raises(RpcError, match="not_found: nothing there"):
        await client.say(SayRequest(text="missing"))


@pytest.mark.parametrize("codec", ["proto", "json"])
@pytest.mark.parametrize("mounted", [plain, in_starlette, in_fastapi])
async def test_the_app_runs_in_uvicorn_by_itself_and_mounted(mounted: Any, codec: str) -> None:
    async with (
        uvicorn_listening(mounted(App([Echo()], compress_min=1))) as url,
        httpx.AsyncClient(base_url=url, trust_env=False) as http,
    ):
        await exercise(EchoClient(http, codec=codec))
        await exercise(EchoClient(http, codec=codec, compression="gzip", accept=["gzip"], compress_min=1))


async def test_the_app_is_mounted_below_a_path() -> None:
    outer = fastapi.FastAPI()
    outer.mount("/rpc", App([Echo()]))
    async with (
        uvicorn_listening(outer) as url,
        httpx.AsyncClient(base_url=f"{url}/rpc", trust_env=False) as http,
    ):
        await exercise(EchoClient(http))


async def test_a_caller_who_leaves_uvicorn_cancels_the_handler() -> None:
    service = Echo()
    async with uvicorn_listening(App([service])) as url, httpx.AsyncClient(base_url=url, trust_env=False) as http:
        call = asyncio.ensure_future(EchoClient(http).say(SayRequest(text="sleep")))
        await service.started.wait()
        call.cancel()
        await service.cancelled.wait()


async def test_a_caller_who_leaves_uvicorn_with_messages_unread_cancels_the_handler() -> None:
    service = Echo()
    async with uvicorn_listening(App([service])) as url, EchoClient(SocketClient(url)).chat() as call:
        await call.send(ChatRequest(text="sleep"))
        await service.started.wait()
        for _ in range(3):
            await call.send(ChatRequest(text="unread"))
        await call.aclose()
        await service.cancelled.wait()


@pytest.mark.parametrize("package", [httpx, httpx2], ids=["httpx", "httpx2"])
async def test_a_client_calls_over_either_httpx(package: Any) -> None:
    async with listening(App([Echo()])) as url, package.AsyncClient(base_url=url, trust_env=False) as http:
        await exercise(EchoClient(http))
        service = EchoClient(http, get=True)
        assert (await service.say(SayRequest(text="by get"))).text == "by get"
        with pytest.raises(RpcError) as caught:
            await service.say(SayRequest(text="sleep"), timeout=0.05)
        assert caught.value.code is Code.DEADLINE_EXCEEDED
        with pytest.raises(RpcError, match="resource_exhausted"):
            await EchoClient(http).using(limits=_small()).say(SayRequest(text="x" * 100))
    async with package.AsyncClient(base_url=url, trust_env=False) as http:
        for call in (EchoClient(http).say(SayRequest()), EchoClient(http).sum([])):
            with pytest.raises(RpcError) as caught:
                await call
            assert (caught.value.code, caught.value.sent) == (Code.UNAVAILABLE, False)


def _small() -> Any:
    from plugmux.connect import RpcLimits

    return RpcLimits(receive=50)


async def test_a_client_calls_over_our_own_sockets() -> None:
    async with listening(App([Echo()])) as url:
        await exercise(EchoClient(SocketClient(url)))


async def test_a_synchronous_client_makes_calls_of_every_kind() -> None:
    def script(url: str) -> None:
        with EchoSyncClient(SocketClient(url)) as client:
            assert client.say(SayRequest(text="x"), timeout=30).text == "x"
            assert [reply.number for reply in client.count(CountRequest(to=5))] == [1, 2, 3, 4, 5]
            assert client.sum(SumRequest(number=number) for number in range(10)).sum == 45
            assert [reply.text for reply in client.chat([ChatRequest(text="a"), ChatRequest(text="b")])] == ["A", "B"]
            for reply in client.count(CountRequest(to=1000)):
                assert reply.number == 1
                break
            with pytest.raises(RpcError, match="not_found"):
                client.say(SayRequest(text="missing"))
        client.close()

    async with listening(App([Echo()])) as url:
        await asyncio.to_thread(script, url)


async def run(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode()


async def test_curl_and_buf_curl_call_with_json() -> None:
    async with listening(App([Echo()])) as url:
        method = f"{url}/echo.v1.EchoService/Say"
        curl = ["curl", "--silent", "--fail", "-H", "content-type: application/json", "-d", '{"text": "x"}', method]
        assert json.loads(await run(*curl)) == {"text": "x"}
        buf = [str(Path(sys.executable).parent / "buf"), "curl", "--schema", str(Path(__file__).parent / "proto")]
        assert json.loads(await run(*buf, "-d", '{"text": "x"}', method)) == {"text": "x"}
        count = await run(*buf, "-d", '{"to": 2}', f"{url}/echo.v1.EchoService/Count")
        assert "".join(count.split()) == '{"number":1}{"number":2}'
