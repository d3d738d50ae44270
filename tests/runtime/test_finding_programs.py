"""Which program a launch runs, from which directory, and under which name it registers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest

from plugmux import Launch, PluginCause, PluginError, Runtime
from plugmux.cli.launch.source import parse_one
from plugmux.runtime.process.local import find_program
from support.programs import script

TELLING = """
    import os, sys
    from kv.v1.kv_connect import KeyValueService
    from kv.v1.kv_pb2 import GetResponse
    from plugmux import Plugin

    class Telling(KeyValueService):
        async def get(self, request, context):
            told = {"cwd": os.getcwd(), "program": sys.argv[0], "name": plugin.registration.name}
            return GetResponse(value=told[request.key].encode())

    plugin = Plugin(Telling(), version="v1.0.0")
    plugin.run()
"""


async def told(launch: Launch, *keys: str) -> list[str]:
    """What a `TELLING` plugin says."""
    async with Runtime([launch]) as runtime:
        kv = runtime.client(KeyValueClient)
        return [(await kv.get(GetRequest(key=key))).value.decode() for key in keys]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with a program `sub/kv`."""
    (tmp_path / "sub").mkdir()
    script(tmp_path / "sub", "kv", TELLING)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("cwd", ["sub", "./sub", Path("sub"), "{here}/sub"])
async def test_a_program_is_found_from_the_directory_that_it_is_started_in(here: Path, cwd: str | Path) -> None:
    launch = Launch(["./kv"], cwd=str(cwd).format(here=here))
    assert await told(launch, "cwd", "program") == [f"{here}/sub", f"{here}/sub/kv"]


@pytest.mark.parametrize(
    ("path", "cwd"),
    [("{here}/none:{here}/sub", None), ("sub", None), ("sub", "{here}"), (".", "sub"), ("/none:", "sub")],
)
def test_a_program_is_found_on_the_path_that_the_launch_sets(here: Path, path: str, cwd: str | None) -> None:
    launch = Launch(["kv"], env={"PATH": path.format(here=here)}, cwd=cwd and cwd.format(here=here))
    assert os.path.normpath(find_program(launch)) == f"{here}/sub/kv"


@pytest.mark.parametrize("env", [{"PATH": "/none"}, {"PATH": None}, {"PATH": ""}])
def test_the_hosts_own_path_does_not_count_where_a_launch_sets_another(
    here: Path, env: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{here}/sub")
    assert find_program(Launch(["kv"])) == f"{here}/sub/kv"
    with pytest.raises(PluginError, match="there is no program 'kv'") as caught:
        find_program(Launch(["kv"], env=env))
    assert caught.value.cause is PluginCause.NOT_FOUND


@pytest.mark.parametrize("file", ["my plugin", "bad\nplugin", "_x"])
async def test_a_name_that_a_launch_gives_is_the_plugins_own(here: Path, file: str) -> None:
    script(here, file, TELLING)
    assert await told(parse_one(f"chosen='./{file}'"), "name") == ["chosen"]
