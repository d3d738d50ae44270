"""Launch and shutdown, again and again, leave nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from plugmux import Runtime
from support.census import Census
from support.programs import script

ROUNDS = 50
PLUGINS = 4

MINIMAL = """
    import asyncio, os, socket
    from plugmux.launch import LaunchConfig
    from plugmux import Plugin

    Plugin(app=lambda *_: None, version="v1.0.0").run()
"""


@pytest.mark.timeout(300)
async def test_200_launches_and_shutdowns_leave_no_process_no_descriptor_and_no_task(tmp_path: Path) -> None:
    programs = [script(tmp_path, f"minimal{n}", MINIMAL) for n in range(PLUGINS)]
    async with Runtime(programs[:1]):
        pass
    before = Census.take()
    for _ in range(ROUNDS):
        async with Runtime(programs, registration_timeout=60) as runtime:
            assert [plugin.error for plugin in runtime.plugins()] == [None] * PLUGINS
    assert Census.take() == before
