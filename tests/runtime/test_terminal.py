"""A plugin that keeps the terminal can ask a person for something."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.programs import KV_PLUGIN, script

pytestmark = pytest.mark.usefixtures("watching")

HOST = """
    import asyncio, fcntl, sys, termios
    from kv.v1.kv_connect import KeyValueClient
    from kv.v1.kv_pb2 import GetRequest
    from plugmux import Launch, Runtime

    async def main():
        async with Runtime([Launch([sys.argv[1]], stdio="inherit")]) as runtime:
            answer = await runtime.client(KeyValueClient).get(GetRequest(key="ask"))
            print("the host got", answer.value.decode(), flush=True)

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # the terminal of this session, whose foreground group this process is
    asyncio.run(main())
"""

PLUGIN = KV_PLUGIN.replace(
    "async def get(self, request, context):",
    """async def get(self, request, context):
            if request.key == "ask":
                said = await asyncio.to_thread(input, "who are you? ")
                return GetResponse(value=f"{said} {os.isatty(0)} {os.tcgetpgrp(0) == os.getpgrp()}".encode())""",
)


def read_until(terminal: int, text: bytes) -> bytes:
    seen = b""
    while text not in seen:
        seen += os.read(terminal, 4096)
    return seen


def test_a_plugin_that_inherits_the_terminal_reads_from_it_in_its_foreground_group(tmp_path: Path) -> None:
    terminal, theirs = os.openpty()
    command = [script(tmp_path, "host", HOST), script(tmp_path, "kv", PLUGIN)]
    host = subprocess.Popen(
        [sys.executable, *command], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    with host:
        os.close(theirs)
        read_until(terminal, b"who are you? ")
        os.write(terminal, b"me\n")
        seen = read_until(terminal, b"the host got")
        while not seen.endswith(b"\n"):
            seen += os.read(terminal, 100)
        assert b"the host got me True True" in seen
    os.close(terminal)
    assert host.returncode == 0
