"""A death in the middle of a call is told as a death, whatever is seen of it first, and the call is not made again."""

from __future__ import annotations

from pathlib import Path

import pytest
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest, WatchRequest

from plugmux import Policies, RestartPolicy, RetryPolicy, Runtime
from plugmux.connect import Code, RpcError
from plugmux.runtime import Launch
from support.programs import script

pytestmark = pytest.mark.usefixtures("watching")

DYING = """
    import asyncio, os
    from kv.v1.kv_connect import KeyValueService
    from plugmux import Plugin

    class Dying(KeyValueService):
        async def get(self, request, context):
            with open(OPTIONS["calls"], "a") as calls:
                calls.write("called\\n")
            return await self.die(request.key)

        async def watch(self, request, context):
            yield await self.die("reset first")

        async def die(self, how):
            if how == "exit first":
                os._exit(7)
            asyncio.get_running_loop().call_later(0.03, os._exit, 7)
            asyncio.current_task().cancel()  # The stream is reset at once, and the process ends soon after.
            await asyncio.Event().wait()

    Plugin(Dying(), version="v1.0.0").run()
"""
AGAIN = RetryPolicy(attempts=5, idempotent=True)


@pytest.mark.parametrize("how", ["reset first", "exit first"])
async def test_a_death_within_a_call_is_told_as_one_and_the_call_is_not_made_again(tmp_path: Path, how: str) -> None:
    calls = tmp_path / "calls"
    launch = Launch([script(tmp_path, "kv", DYING, calls=str(calls))], restart=RestartPolicy(delay=0.01))
    async with Runtime([launch], policies=Policies(retry=AGAIN)) as runtime:
        with pytest.raises(RpcError, match="exited with status 7") as caught:
            await runtime.client(KeyValueClient).get(GetRequest(key=how))
        assert caught.value.code is Code.UNAVAILABLE
    assert calls.read_text() == "called\n"


async def test_a_death_within_a_stream_is_told_as_one(tmp_path: Path) -> None:
    async with Runtime([script(tmp_path, "kv", DYING)]) as runtime:
        with pytest.raises(RpcError, match="exited with status 7"):
            async for _ in runtime.client(KeyValueClient).watch(WatchRequest()):
                pass
