"""What docs/cli.md shows, run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"

PLUGINS = {
    "vault-plugin": """
from plugmux import Plugin
from plugmux.secrets import Provider, Secret

class Vault(Provider):
    pattern = "vault/**"

    async def get_secrets(self, pattern):
        for id, value in (("vault/db/user", b"app"), ("vault/db/password", b"correct horse")):
            if pattern.match(id):
                yield Secret(id=id, value=value)

Plugin(Vault(), version="v1.0.0").run()
""",
    "kv-plugin": """
from kv.v1.kv_connect import KeyValueService
from kv.v1.kv_pb2 import PutResponse
from plugmux import Plugin

class Store(KeyValueService):
    async def put(self, request, context):
        return PutResponse()

Plugin(Store(), version="v1.0.0").run()
""",
}

SHOWN = re.findall(r"^```console\n\$ plugmux (.*?)\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(("command", "output"), SHOWN)
def test_every_command_prints_what_the_page_shows(
    plugmux: Any, program: Any, command: str, output: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, source in PLUGINS.items():
        program(name, source)
    ran = plugmux(*shlex.split(command))
    assert (ran.status, ran.stdout.decode().rstrip("\n"), ran.stderr) == (0, output.rstrip("\n"), "")


def test_the_page_shows_every_command_that_launches_plugins() -> None:
    assert {command.split()[0] for command, _ in SHOWN} == {"get", "plugins", "call", "describe", "check"}
