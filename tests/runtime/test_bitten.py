"""What has bitten users of plugin systems before, where it is not part of another story."""

from __future__ import annotations

import asyncio
from pathlib import Path

from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest

from plugmux import HealthPolicy, Launch, Policies, Runtime
from plugmux.runtime import State
from support.programs import script

WITHOUT_AN_SDK = """
    import asyncio, json, os, socket
    from kv.v1.kv_connect import KeyValueService
    from kv.v1.kv_pb2 import GetResponse
    from plugmux.connect import App
    from plugmux.http import Server, StreamClient
    from plugmux.yamux import Mux
    from plugmux_proto.plugins.v1.plugins_connect import RegisterClient
    from plugmux_proto.plugins.v1.plugins_pb2 import RegisterPluginRequest

    class Store(KeyValueService):
        async def get(self, request, context):
            return GetResponse(value=b"bare")

    async def main():
        config = json.loads(os.environ["DOCKER_SECRETS_ENGINE_PLUGIN_LAUNCH_CFG"])
        mux = Mux(client=True)
        sock = socket.socket(fileno=config["fd"])
        await asyncio.get_running_loop().create_connection(lambda: mux, sock=sock)
        mux.listen(Server(App([Store()])).protocol)
        request = RegisterPluginRequest(name=config["name"], version="v1.0.0", services=["kv.v1.KeyValueService"])
        await RegisterClient(StreamClient(mux.open)).register_plugin(request)
        await mux.wait_closed()

    asyncio.run(main())
"""

NOBODY_READS = """
    import os, sys
    from contextlib import asynccontextmanager
    from pathlib import Path
    from plugmux import Plugin

    @asynccontextmanager
    async def lifespan(plugin):
        yield
        await plugin.link.wait_closed()
        for stream in (sys.stdout, sys.stderr):
            try:
                print("x" * 100_000, file=stream, flush=True)
            except OSError:
                pass
        Path(OPTIONS["ended"]).touch()

    Plugin(version="v1.0.0", app=lambda *_: None, lifespan=lifespan).run()
"""

HOST = """
    import asyncio
    from plugmux import Runtime

    async def main():
        async with Runtime([OPTIONS["program"]]) as runtime:
            print(runtime.plugins()[0].state.value, flush=True)
            await asyncio.Event().wait()

    asyncio.run(main())
"""


async def test_a_plugin_needs_nothing_but_what_the_wire_says(tmp_path: Path) -> None:
    health = HealthPolicy(interval=0.05, timeout=5)
    async with Runtime(
        [Launch([script(tmp_path, "bare", WITHOUT_AN_SDK)])], policies=Policies(health=health)
    ) as runtime:
        plugin = runtime.plugin("bare")
        assert plugin.error is None, plugin.error
        for _ in range(5):
            assert (await runtime.client(KeyValueClient).get(GetRequest(key="a"))).value == b"bare"
            await asyncio.sleep(health.interval)  # time for a health check between two calls
        assert (plugin.state, plugin.restarts) == (State.RUNNING, 0)
    assert plugin.state is State.STOPPED


async def test_a_plugin_whose_output_nobody_reads_any_more_cleans_up(tmp_path: Path) -> None:
    ended = tmp_path / "ended"
    program = script(tmp_path, "talker", NOBODY_READS, ended=str(ended))
    host = await asyncio.create_subprocess_exec(
        script(tmp_path, "host", HOST, program=program), stdout=asyncio.subprocess.PIPE
    )
    assert host.stdout is not None
    assert await host.stdout.readline() == b"running\n"
    host.kill()
    await host.wait()
    async with asyncio.timeout(60):
        while not ended.exists():
            await asyncio.sleep(0.01)
