"""Calls that are in flight when a line is cut, and calls over a line that is long and stalls. (`make network`)"""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest, PutRequest

from network.delaying import Delaying
from network.links import dial, failures, fewer, load, new_runtime, running
from network.namespaces import Process, network
from plugmux.connect import Code, RpcError
from support.pki import Pki
from support.remote import until


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path / "pki")


async def in_flight_at(
    process: Process, call: Callable[[str], Coroutine[Any, Any, object]], what: str
) -> tuple[asyncio.Task[object], str]:
    """Call until a call waits at one plugin; gives it, and its name. The others have been answered."""
    for number in count():
        name = f"{what}-{number}"
        calling = asyncio.create_task(call(name))
        here = f"<{what} {name}>" if what == "put" else f"<{what}>"
        await until(partial(done_or_said, calling, process, here))
        if not calling.done():
            return calling, name
        await calling
    raise AssertionError


def done_or_said(calling: asyncio.Task[object], process: Process, what: str) -> bool:
    return calling.done() or what in process.said


@pytest.mark.parametrize("cut", ["kill -9", "partition", "restart"])
async def test_a_call_in_flight_moves_only_if_its_method_may_be_repeated(cut: str, pki: Pki, tmp_path: Path) -> None:
    with network(tmp_path, 2) as net:
        async with new_runtime(pki, net) as runtime:
            kept, other = dial(net, pki, 0, HOLD=1), dial(net, pki, 1)
            await running(runtime, 2)
            kv = runtime.client(KeyValueClient)
            get, _ = await in_flight_at(kept, lambda _: kv.get(GetRequest(key="hold"), timeout=60), "get")
            put, name = await in_flight_at(kept, lambda key: kv.put(PutRequest(key=key), timeout=60), "put")
            if cut == "partition":
                net.cut(net.hosts[0])
            else:
                await asyncio.to_thread(kept.kill, signal.SIGKILL if cut == "kill -9" else signal.SIGTERM)
            response = await get
            assert response.value.decode() == net.hosts[1].address  # type: ignore[attr-defined]
            with pytest.raises(
                RpcError, match="failed in flight, and the peer may have acted on it: plugin 'kv'"
            ) as failed:
                await put
            assert failed.value.code is Code.UNAVAILABLE
            if cut == "partition":
                net.mend(net.hosts[0])
            else:
                dial(net, pki, 0)
            await running(runtime, 2)
            assert f"<put {name}>" not in other.said  # It was not made again.


def answered(results: Counter[str], count: int) -> bool:
    return sum(results.values()) >= count


async def test_lines_of_50_ms_that_stall_fail_no_call(pki: Pki, tmp_path: Path) -> None:
    proxies = [Delaying(0.05), Delaying(0.05)]
    with network(tmp_path, 2) as net:
        async with AsyncExitStack() as lines, new_runtime(pki, net) as runtime:
            for index, proxy in enumerate(proxies):
                port = 7450 + index
                await lines.enter_async_context(proxy.between((net.gateway, port), (net.gateway, 7443)))
                dial(net, pki, index, f"tls://{net.gateway}:{port}")
            await running(runtime, 2)
            async with load(runtime) as results:
                await until(lambda: len(results) == 2)
                for proxy in proxies:
                    enough = sum(results.values()) + 50
                    proxy.hold()  # For as long as 50 calls are answered by the other: calls wait.
                    await until(partial(answered, results, enough))
                    proxy.go_on()
                    proxy.hold()  # Until the link is given up.
                    await fewer(runtime)
                    proxy.go_on()
                    await running(runtime, 2)
            assert not failures(results)
