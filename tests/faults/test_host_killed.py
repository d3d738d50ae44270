"""A host that is killed leaves nobody behind: its plugins end, and what they have started ends with them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from support.programs import script
from support.tools import go_plugin, ts_plugin

pytestmark = pytest.mark.usefixtures("watching")

PLUGINS = 20
PATIENCE = 20.0
"""Seconds after which a process that is still there is an orphan; on an idle machine all are gone within two."""

HOST = """
    import asyncio, json, sys
    from plugmux import Launch, Runtime

    async def main():
        launches = [Launch(command, name=f"p{n}", timeout=60) for n, command in enumerate(OPTIONS["commands"])]
        async with Runtime(launches) as runtime:
            assert not [plugin.error for plugin in runtime.plugins() if plugin.error]
            print(json.dumps([plugin.pid for plugin in runtime.plugins()]), flush=True)
            await asyncio.Event().wait()

    asyncio.run(main())
"""

WITH_A_CHILD = """
    import asyncio, subprocess, time
    from contextlib import asynccontextmanager
    from plugmux import Plugin

    @asynccontextmanager
    async def child(plugin):
        subprocess.Popen(["sleep", "1000"])
        yield

    Plugin(version="v1.0.0", app=lambda *_: None, lifespan=child).run()
"""

BLOCKED = """
    import asyncio, time
    from plugmux import Plugin

    def block():
        time.sleep(1000)

    async def main(plugin):
        asyncio.get_running_loop().call_later(0.2, block)  # It registers first.

    from contextlib import asynccontextmanager

    @asynccontextmanager
    async def blocked(plugin):
        await main(plugin)
        yield

    Plugin(version="v1.0.0", app=lambda *_: None, lifespan=blocked).run()
"""


def session_of(pid: int) -> set[int]:
    """The processes that are in the group of one."""
    found = set()
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as file:
                    state, _, group = file.read().rpartition(")")[2].split()[:3]
            except OSError:
                continue
            if int(group) == pid and state not in "ZX":
                found.add(int(name))
    return found


async def killed_host(tmp_path: Path, commands: list[list[str]]) -> set[int]:
    """The groups of a host's plugins, after the host has been killed."""
    host = await asyncio.create_subprocess_exec(
        script(tmp_path, "host", HOST, commands=commands), stdout=asyncio.subprocess.PIPE
    )
    assert host.stdout is not None
    groups = set(json.loads(await host.stdout.readline()))
    assert len(groups) == len(commands)
    host.send_signal(signal.SIGKILL)
    await host.wait()
    return groups


async def all_gone(groups: set[int]) -> set[int]:
    """Wait for groups to be empty; what is there in the end."""
    left: set[int] = set()
    try:
        async with asyncio.timeout(PATIENCE):
            while left := {pid for group in groups for pid in session_of(group)}:
                await asyncio.sleep(0.05)
    except TimeoutError:
        pass
    return left


async def test_twenty_plugins_in_three_languages_end_with_their_host(tmp_path: Path) -> None:
    with_a_child = [sys.executable, script(tmp_path, "with-a-child", WITH_A_CHILD)]
    commands = [with_a_child] * (PLUGINS - 6) + [go_plugin()] * 3 + [ts_plugin()] * 3
    assert await all_gone(await killed_host(tmp_path, commands)) == set()


@pytest.mark.parametrize("count", [2])
async def test_a_plugin_whose_loop_is_blocked_ends_with_its_host(count: int, tmp_path: Path) -> None:
    blocked = [sys.executable, script(tmp_path, "blocked", BLOCKED)]
    assert await all_gone(await killed_host(tmp_path, [blocked] * count)) == set()
