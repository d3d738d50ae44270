"""`plugmux ui`, as a process: it prints an address that is good once, and ends at a signal with its plugins."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from pathlib import Path

import httpx
import pytest

from support.programs import kv_program


async def start(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "plugmux.cli",
        "ui",
        "--no-open",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_the_plugins_of_the_command_are_shown_and_end_with_it(tmp_path: Path) -> None:
    process = await start(kv_program(tmp_path))
    assert process.stdout is not None
    url = (await process.stdout.readline()).decode().strip()
    async with httpx.AsyncClient(timeout=60) as browser:
        entered = await browser.get(url)
        origin = url.partition("/?")[0]
        path = entered.text.partition("url=")[2].partition('"')[0]
        page = await browser.get(origin + path)
        assert page.status_code == 200
        assert "page.js" in page.text
        listed = await browser.post(
            f"{origin}{path}plugins.v1.PluginManagementService/ListPlugins", json={}, headers={"origin": origin}
        )
        assert [plugin["name"] for plugin in listed.json()["plugins"]] == ["kv"]
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0


async def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = await start("--port", str(taken.getsockname()[1]), kv_program(tmp_path))
        _, said = await process.communicate()
    assert process.returncode == 1
    assert b"give another --port" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--connect", "unix:/none", "./kv"], b"not both"),
        (["--port", "70000"], b"is no port"),
        (["--connect", "unix:/none/at/all"], b"no runtime found"),
    ],
)
async def test_what_cannot_be_shown_is_told(arguments: list[str], said: bytes) -> None:
    process = await start(*arguments)
    output, errors = await process.communicate()
    assert process.returncode in (1, 2)
    assert output == b""
    assert said in errors
