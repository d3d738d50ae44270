"""A host that stands still, as in a debugger or on a laptop that sleeps, keeps its plugins: slow is not dead.

It stands still for many times as long as the keepalives of host and plugin wait for an answer. Those of the plugin in
Go cannot be set; `TestALinkHasNoTimeLimits` holds them.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest

from support.programs import script
from support.resources import hold
from support.tools import LANGUAGES, ROOT, example_plugin, tool

STOPPED = 1.0

HOST = """
    import asyncio, json, sys
    from plugmux import Launch, Policies, Runtime
    from plugmux.exchange import Request
    from plugmux.yamux import Config

    async def main():
        config = Config(keep_alive_interval=0.05, connection_write_timeout=0.05)
        plugins = [Launch(OPTIONS["command"], name="kv")] if OPTIONS["command"] else []
        async with Runtime(plugins, listen=[OPTIONS["address"]], policies=Policies(mux=config)) as runtime:
            print("listening", flush=True)
            while not (found := [plugin for plugin in runtime.plugins() if plugin.ready]):
                await asyncio.sleep(0.005)
            link = found[0].link
            print("linked", flush=True)
            await asyncio.to_thread(sys.stdin.readline)
            health = await link.transport.fetch(Request("/health", method="GET"), 100)
            print(json.dumps([health.status, link.closed, link is found[0].link, found[0].restarts]), flush=True)

    asyncio.run(main())
"""

PYTHON = """
    from plugmux import Plugin
    from plugmux.yamux import Config

    config = Config(keep_alive_interval=0.05, connection_write_timeout=0.05)
    Plugin(app=lambda *_: None, name="kv", version="v1.0.0", mux=config).run()
"""

TYPESCRIPT = """
import {{ plugin }} from "{sdk}";
await plugin({{ version: "v1.0.0", name: "kv", mux: {{ keepAliveInterval: 50, connectionWriteTimeout: 50 }} }});
"""


def command(language: str, directory: Path) -> list[str]:
    if language == "python":
        return [script(directory, "kv", PYTHON)]
    if language == "go":
        return example_plugin("go")
    path = directory / "kv.mjs"
    path.write_text(TYPESCRIPT.format(sdk=ROOT / "ts/dist/ts/src/index.js"))
    return [tool("node"), str(path)]


@pytest.mark.parametrize("self_started", [False, True], ids=["launched", "self-started"])
@pytest.mark.parametrize("language", LANGUAGES)
async def test_the_link_of_a_host_that_was_stopped_goes_on(language: str, self_started: bool, tmp_path: Path) -> None:
    address, plugin = f"unix:{tmp_path}/s", command(language, tmp_path)
    launched = [] if self_started else plugin
    pipe = asyncio.subprocess.PIPE
    processes = [
        await asyncio.create_subprocess_exec(
            script(tmp_path, "host", HOST, command=launched, address=address), stdin=pipe, stdout=pipe
        )
    ]
    (host,) = processes
    assert host.stdin is not None
    assert host.stdout is not None
    try:
        assert await host.stdout.readline() == b"listening\n"
        if self_started:
            environ = {**os.environ, "PLUGMUX_SOCKET": address}
            processes.append(await asyncio.create_subprocess_exec(*plugin, env=environ))
        assert await host.stdout.readline() == b"linked\n"
        await hold(host.pid)
        await asyncio.sleep(STOPPED)  # the time in which the links would be taken for dead
        host.send_signal(signal.SIGCONT)
        host.stdin.write(b"\n")
        status, closed, same, restarts = json.loads(await host.stdout.readline())
        assert (status, closed, same, restarts) == (200, False, True, 0)
    finally:
        for process in reversed(processes):
            if process.returncode is None:
                process.terminate()
            await process.communicate()
