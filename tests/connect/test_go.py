"""The generated client over a plain `httpx.AsyncClient` against a connect-go server."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest, PutRequest, WatchRequest

from plugmux.connect import Code, Context, RpcError


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    program = tmp_path_factory.mktemp("go") / "server"
    subprocess.run(["go", "build", "-o", program, "."], check=True, cwd=Path(__file__).parent / "go")
    with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        yield server.stdout.readline().strip()
        server.stdin.close()


@pytest.fixture(params=["proto", "json"])
async def client(request: pytest.FixtureRequest, url: str) -> AsyncIterator[KeyValueClient]:
    async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
        yield KeyValueClient(http, codec=request.param)


@pytest.mark.parametrize("options", [{}, {"get": True}, {"accept": ["gzip"], "compression": "gzip", "compress_min": 1}])
async def test_a_unary_call_is_answered_by_go(client: KeyValueClient, options: dict[str, object]) -> None:
    context = Context()
    reply = await client.using(**options).get(GetRequest(key="a" * 2000), timeout=30, context=context)
    assert reply.value == b"a" * 2000
    assert context.response_headers["x-method"] == ("GET" if "get" in options else "POST")
    assert context.response_trailers["x-after"] == "all"


async def test_a_stream_is_answered_by_go(client: KeyValueClient) -> None:
    async with client.watch(WatchRequest(key="k")) as stream:
        assert [item.value async for item in stream] == [b"k0", b"k1", b"k2"]
        assert stream.response_trailers["x-after"] == "all"


async def test_errors_of_go_arrive_with_their_details(client: KeyValueClient) -> None:
    with pytest.raises(RpcError, match="not_found: no such key") as caught:
        await client.get(GetRequest(key="missing"))
    assert caught.value.detail(GetRequest) == GetRequest(key="missing")
    with pytest.raises(RpcError) as caught:
        await client.put(PutRequest())
    assert caught.value.code is Code.UNIMPLEMENTED
    with pytest.raises(RpcError) as caught:
        await client.get(GetRequest(key="sleep"), timeout=0.05)
    assert caught.value.code is Code.DEADLINE_EXCEEDED
