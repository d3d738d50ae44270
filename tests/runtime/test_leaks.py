"""Launch and shutdown, again and again, leave nothing behind."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from plugmux import Runtime
from support.programs import script

ROUNDS = 50
PLUGINS = 4

MINIMAL = """
    import asyncio, os, socket
    from plugmux.launch import LaunchConfig
    from plugmux import Plugin

    Plugin(app=lambda *_: None, version="v1.0.0").run()
"""


def children() -> set[str]:
    me = os.getpid()
    return {pid for pid in os.listdir("/proc") if pid.isdigit() and _parent(pid) == me}


def _parent(pid: str) -> int | None:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return int(file.read().rpartition(")")[2].split()[1])
    except OSError:
        return None


async def test_200_launches_and_shutdowns_leave_no_process_no_descriptor_and_no_task(tmp_path: Path) -> None:
    programs = [script(tmp_path, f"minimal{n}", MINIMAL) for n in range(PLUGINS)]
    async with Runtime(programs[:1]):
        pass
    fds, processes, tasks = len(os.listdir("/proc/self/fd")), children(), len(asyncio.all_tasks())
    for _ in range(ROUNDS):
        async with Runtime(programs) as runtime:
            assert [plugin.error for plugin in runtime.plugins()] == [None] * PLUGINS
    assert len(os.listdir("/proc/self/fd")) == fds
    assert children() == processes
    assert len(asyncio.all_tasks()) == tasks
