"""The options of every command that launches plugins, and the plugins that can be named."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from plugmux.cli.commands import call, check, describe, dev, get, plugins, run
from plugmux.cli.launch.imports import program_files

LAUNCHING = (run, dev, get, plugins, call, describe, check)
GET = "kv.v1.KeyValueService/Get"

TELLING = """
import os
from kv.v1.kv_connect import KeyValueService
from kv.v1.kv_pb2 import GetResponse
from plugmux import Plugin
from plugmux.plugin import Configured
from dataclasses import dataclass

@dataclass
class Settings:
    level: str

configured = Configured(Settings)

class Store(KeyValueService):
    async def get(self, request, context):
        if request.key == "hang":
            import asyncio
            await asyncio.sleep(600)
        return GetResponse(value=f"{os.environ.get('LEVEL')} {plugin.configuration_json}".encode())

plugin = Plugin(Store(), version="v1.0.0", configuration=configured)
plugin.run()
"""


@pytest.mark.parametrize("command", LAUNCHING, ids=lambda command: command.__name__.rpartition(".")[2])
def test_every_command_that_launches_takes_the_same_options(command: Any) -> None:
    parser = command.add(argparse.ArgumentParser().add_subparsers())
    options = {option for action in parser._actions for option in action.option_strings}
    assert {"--startup-timeout", "--config", "--env", "--timeout", "--on-path"} <= options


def value(ran: Any) -> bytes:
    """What the plugin answered."""
    import base64

    assert (ran.status, ran.stderr) == (0, "")
    return base64.b64decode(json.loads(ran.stdout)["value"])


def test_a_plugin_that_needs_a_configuration_can_be_called(plugmux: Any, program: Any, tmp_path: Path) -> None:
    file = tmp_path / "c.json"
    file.write_text('{"level": "high"}')
    options = ["--plugin", f"kv={program('telling', TELLING)}", "--env", "LEVEL=debug=1"]
    for config in (str(file), f"kv={file}"):
        assert b'debug=1 {"level": "high"}' in value(plugmux("call", GET, *options, "--config", config)).replace(
            b":", b": "
        ).replace(b":  ", b": ")
    ran = plugmux("call", GET, *options)
    assert ran.status == 1
    assert "level" in ran.stderr
    assert "--config" in ran.stderr


def test_a_call_is_given_up_after_its_time(plugmux: Any, program: Any, tmp_path: Path) -> None:
    file = tmp_path / "c.json"
    file.write_text('{"level": "high"}')
    options = ["--plugin", program("telling", TELLING), "--config", str(file), "--timeout", "0.5"]
    ran = plugmux("call", GET, '{"key": "hang"}', *options)
    assert ran.status == 1
    assert "within 0.5 s" in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["call", GET, "--config", "a=b"], "--config is for plugins that the command launches: give --plugin too"),
        (["get", "a", "--startup-timeout", "3"], "--startup-timeout is for plugins that the command launches"),
        (["plugins", "--plugin", "./kv", "--config", "k=/none"], "--config k=/none: there is no plugin 'k'"),
        (["plugins", "--plugin", "./kv", "--plugin", "./store", "--config", "sotre=x"], "did you mean store?"),
        (["plugins", "--plugin", "./kv", "--env", "LEVEL"], "--env 'LEVEL' is not of the form NAME=VALUE"),
        (["plugins", "--available", "--plugin", "./kv"], "plugins --available lists what could be run"),
        (["run", "--plugin-dir", "/nowhere"], "--plugin-dir /nowhere: there is no such directory"),
        (["run", "--plugin-path", "/nowhere"], "--plugin-path /nowhere: there is no such directory"),
        (["dev", "./kv", "--watch", "/nowhere"], "--watch /nowhere: there is no such file or directory"),
        (["dev", "./nowhere"], "there is no program './nowhere'"),
    ],
)
def test_what_would_have_been_ignored_is_wrong_usage(plugmux: Any, arguments: list[str], told: str) -> None:
    ran = plugmux(*arguments)
    assert (ran.status, ran.stdout) == (2, b"")
    assert told in ran.stderr


@pytest.mark.parametrize("number", ["0", "-1", "x", "inf"])
def test_a_time_is_a_number_above_0(plugmux: Any, number: str) -> None:
    ran = plugmux("plugins", "--plugin", "./kv", f"--startup-timeout={number}")
    assert ran.status == 2
    assert "is no number of seconds above 0" in ran.stderr


# -- what can be named ------------------------------------------------------------------------------------------------


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A distribution with the plugin `telling`, and a program `plugmux-store` on PATH."""
    folder = tmp_path / "installed"
    metadata = folder / "mykv-1.2.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: mykv\nVersion: 1.2\n")
    (metadata / "entry_points.txt").write_text("[plugmux.plugins]\ntelling = mykv:plugin\n")
    source = TELLING.replace(", configuration=configured", "").replace("plugin.run()", "")
    (folder / "mykv.py").write_text(source)
    (folder / "store.py").write_text(source + "plugin.run()\n")
    program = folder / "plugmux-store"
    program.write_text(f"#!{sys.executable}\n{source}plugin.run()\n")
    program.chmod(0o755)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    (tmp_path / "plugmux/plugins/db/1.2.0").mkdir(parents=True)
    (tmp_path / "plugmux/plugins/db/1.2.0/db").touch(0o755)
    (tmp_path / "plugmux/plugins/bad.plugmux.toml").write_text("nonsense = 1")
    return folder


@pytest.mark.parametrize(
    ("texts", "name"),
    [
        (["--plugin", "telling"], "telling"),
        (["--plugin", "second=telling"], "second"),
        (["--plugin", "mykv:plugin"], "mykv"),
        (["--plugin", "{}/store.py"], "store"),
        (["--plugin", "{}/store.py -v"], "store"),
        (["--plugin", "store", "--on-path"], "store"),
    ],
)
def test_a_plugin_is_named_as_in_a_runtime(plugmux: Any, installed: Path, texts: list[str], name: str) -> None:
    ran = plugmux("plugins", *(text.format(installed) for text in texts))
    assert (ran.status, ran.lines, ran.stderr) == (0, [f"{name}\tv1.0.0\trunning\tkv.v1.KeyValueService"], "")


def test_check_takes_a_name_too(plugmux: Any, installed: Path) -> None:
    for command in ("telling", "mykv:plugin", f"{installed}/store.py"):
        ran = plugmux("check", command, "--only", "launch.socket")
        assert (ran.status, ran.lines[0].split("\t")[:2]) == (0, ["passed", "launch.socket"])


def test_what_is_on_path_is_run_only_where_it_is_asked_for(plugmux: Any, installed: Path) -> None:
    ran = plugmux("plugins", "--plugin", "store")
    assert ran.status == 1
    assert "there is no plugin 'store'" in ran.stderr


def test_available_plugins_are_listed_with_where_they_are(plugmux: Any, installed: Path, tmp_path: Path) -> None:
    ran = plugmux("plugins", "--available", "--json")
    found = {plugin["name"]: plugin for plugin in json.loads(ran.stdout)}
    assert (ran.status, ran.stderr) == (0, "")
    assert found["telling"] == {
        "name": "telling",
        "version": "v1.2",
        "kind": "entry point",
        "where": f"mykv 1.2 (mykv:plugin) in {installed}",
        "plugin": "telling",
        "error": "",
    }
    assert (found["store"]["kind"], found["store"]["where"]) == ("PATH", f"{installed}/plugmux-store")
    assert (found["db"]["plugin"], found["db"]["kind"]) == ("db@1.2.0", "directory")
    assert "unknown" in found["bad"]["error"] or "nonsense" in found["bad"]["error"]
    lines = plugmux("plugins", "--available").lines
    assert f"telling\tv1.2\tentry point\tmykv 1.2 (mykv:plugin) in {installed}" in lines


# -- what `dev` watches -----------------------------------------------------------------------------------------------


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_py", ".py").replace("_ts", ".ts")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def names(folder: Path, words: list[str], env: dict[str, str | None] | None = None) -> set[str]:
    return {
        str(Path(file).relative_to(folder)) for file in program_files(words, env or {}) if file.startswith(str(folder))
    }


def test_a_script_is_watched_with_the_modules_of_its_own_that_it_imports(tmp_path: Path) -> None:
    write(
        tmp_path,
        main_py="import json, helper\nfrom package import part\nimport httpx",
        helper_py="def late():\n    import deep",
        deep_py="",
        other_py="",
        package__init_py="",
        package__part_py="from . import sibling\nfrom .more import x",
        package__sibling_py="",
        package__more_py="",
    )
    (tmp_path / "package/init.py").rename(tmp_path / "package/__init__.py")
    found = names(tmp_path, [sys.executable, str(tmp_path / "main.py")])
    package = {"package/__init__.py", "package/part.py", "package/sibling.py", "package/more.py"}
    assert found == {"main.py", "helper.py", "deep.py", *package}


def test_an_object_and_a_typescript_file_are_watched_so_too(tmp_path: Path) -> None:
    write(tmp_path, mine_py="import helper", helper_py="import mine")
    command = [sys.executable, "-m", "plugmux.plugin", "mine:plugin"]
    assert names(tmp_path, command, {"PYTHONPATH": str(tmp_path)}) == {"mine.py", "helper.py"}
    write(
        tmp_path,
        main_ts='import { a } from "./a.js";\nimport "./b.ts"',
        a_ts="",
        b_ts='const c = require("./c")',
        c_ts="",
        d_ts="",
    )
    assert names(tmp_path, ["node", str(tmp_path / "main.ts")]) == {"main.ts", "a.ts", "b.ts", "c.ts"}


def test_a_file_that_cannot_be_read_is_watched_alone(tmp_path: Path) -> None:
    write(tmp_path, main_py="def (")
    (tmp_path / "binary").write_bytes(b"\x7fELF\xff\xfe")
    assert names(tmp_path, [sys.executable, str(tmp_path / "main.py")]) == {"main.py"}
    assert names(tmp_path, [str(tmp_path / "binary")]) == {"binary"}
