"""`plugmux ui`, as a process: it prints an address that is good once, and ends at a signal with its plugins."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import httpx
import pytest

from support.forked import Forked
from support.programs import kv_program


def start(*arguments: str) -> Forked:
    return Forked("ui", "--no-open", *arguments)


async def test_the_plugins_of_the_command_are_shown_and_end_with_it(tmp_path: Path) -> None:
    process = start(kv_program(tmp_path))
    url = process.stdout.readline().strip()
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
    process.communicate()
    assert process.returncode == 0


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = start("--port", str(taken.getsockname()[1]), kv_program(tmp_path))
        _, said = process.communicate()
    assert process.returncode == 1
    assert "give another --port" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--connect", "unix:/none", "./kv"], "not both"),
        (["--port", "70000"], "is no port"),
        (["--connect", "unix:/none/at/all"], "no runtime found"),
    ],
)
def test_what_cannot_be_shown_is_told(arguments: list[str], said: str) -> None:
    process = start(*arguments)
    output, errors = process.communicate()
    assert process.returncode in (1, 2)
    assert output == ""
    assert said in errors
