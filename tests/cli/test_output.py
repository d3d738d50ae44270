"""Whatever a plugin or a runtime says, what is printed steers no terminal, and JSON is JSON."""

from __future__ import annotations

import ast
import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import plugmux.cli
from plugmux.cli.output import write_error, write_json, write_line, write_table, write_text, write_values

CLI = Path(plugmux.cli.__file__).parent
HOSTILE = "a\x1b[2Jb\x9b31mc\rd\u202ee\u2028f\x07g"
ESCAPED = "a\\x1b[2Jb\\x9b31mc\\x0dd\\u202ee\\u2028f\\x07g"

RUNTIME = """
import asyncio
from google.protobuf.timestamp_pb2 import Timestamp
from plugmux_proto.plugins.v1 import plugins_pb2 as plugins
from plugmux_proto.plugins.v1.plugins_connect import PluginManagementService
from plugmux_proto.plugmux.v1 import runtime_pb2 as runtime
from plugmux_proto.plugmux.v1.runtime_connect import RuntimeService
from plugmux_proto.resolver.v1 import resolver_pb2 as resolver
from plugmux_proto.resolver.v1.resolver_connect import ResolverService
from kv.v1.kv_connect import KeyValueService
from plugmux.connect import App, Code, RpcError
from plugmux.http import Server

HOSTILE = %r
DEEP = '{"a": ' + "[" * 976 + "]" * 976 + "}"

class Management(PluginManagementService):
    async def list_plugins(self, request, context):
        plugin = plugins.Plugin(name=HOSTILE, version=HOSTILE, state=HOSTILE, services=[HOSTILE])
        plugin.status_message = HOSTILE
        plugin.labels[HOSTILE] = HOSTILE
        kv = plugins.Plugin(name="kv", state="running", services=["kv.v1.KeyValueService"])
        return plugins.ListPluginsResponse(plugins=[plugin, kv])

    async def enable_plugin(self, request, context):
        raise RpcError(Code.INTERNAL, HOSTILE)

class Told(RuntimeService):
    async def events(self, request, context):
        status = HOSTILE + "\\nx"
        yield runtime.EventsResponse(plugin=HOSTILE, state=HOSTILE, health=HOSTILE, status=status, before=HOSTILE)

    async def logs(self, request, context):
        escapes = '{"\\\\u001b[2J\\\\u009b": "\\\\u009b\\\\ud800"}'
        for fields in (escapes, '{"n": 1e999, "m": NaN}', DEEP, "[1]", "no json", ""):
            yield runtime.LogsResponse(plugin=HOSTILE, level=HOSTILE, message=HOSTILE + "\\nx\\ty", fields_json=fields)

class Secrets(ResolverService):
    async def get_secrets(self, request, context):
        account = resolver.GetSecretsResponse.Account(plugin=HOSTILE, pattern=HOSTILE, reason=HOSTILE)
        return resolver.GetSecretsResponse(accounts=[account])

class Store(KeyValueService):
    async def get(self, request, context):
        raise RpcError(Code.INTERNAL, HOSTILE)

async def main():
    server = Server(App([Management(), Told(), Secrets(), Store()]))
    listener = await asyncio.get_running_loop().create_unix_server(server.protocol, sys.argv[1])
    print("ready", flush=True)
    await listener.serve_forever()

asyncio.run(main())
"""


@pytest.fixture
def hostile(program: Callable[[str, str], str], tmp_path: Path) -> Iterator[str]:
    """Where something listens that answers as a runtime does, with text that steers terminals."""
    command = [program("runtime", RUNTIME % HOSTILE), str(tmp_path / "s")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield f"unix:{tmp_path}/s"
        process.kill()


COMMANDS = [
    ["plugins"],
    ["plugins", "--json"],
    ["plugins", "enable", "x"],
    ["logs"],
    ["logs", "--json"],
    ["events"],
    ["events", "--json"],
    ["get", "**", "--explain"],
    ["get", "**", "--explain", "--json"],
    ["call", "kv.v1.KeyValueService/Get"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_prints_what_steers_a_terminal(plugmux: Any, hostile: str, command: list[str]) -> None:
    ran = plugmux(*command, "--connect", hostile)
    text = ran.stdout.decode() + ran.stderr
    assert not [character for character in text if not character.isprintable() and character not in "\t\n"]
    assert "Traceback" not in text
    assert "a\\" in text
    if "--json" in command:
        assert [json.loads(line, parse_constant=pytest.fail) for line in ran.lines]


def test_log_records_of_any_depth_are_lines(plugmux: Any, hostile: str) -> None:
    assert len(plugmux("logs", "--connect", hostile).lines) == 6
    fields = [json.loads(line)["fields"] for line in plugmux("logs", "--json", "--connect", hostile).lines]
    assert fields[0] == {"\x1b[2J\x9b": "\x9b\ud800"}
    assert fields[1:] == [
        {"n": "1e999", "m": "NaN"},
        {"fields_json": "it is nested more than 100 levels deep"},
        {"fields_json": [1]},
        {"fields_json": "Expecting value: line 1 column 1 (char 0)"},
        {},
    ]


class Terminal(io.TextIOWrapper):
    """A stream that says whether it is a terminal."""

    def __init__(self, *, isatty: bool, encoding: str = "utf-8") -> None:
        super().__init__(io.BytesIO(), encoding=encoding)
        self._isatty = isatty

    def isatty(self) -> bool:
        return self._isatty

    @property
    def text(self) -> str:
        self.flush()
        return self.buffer.getvalue().decode(self.encoding)  # type: ignore[attr-defined, no-any-return]


@contextmanager
def stdout_is(**options: Any) -> Iterator[Terminal]:
    """Print to such a stream."""
    with pytest.MonkeyPatch.context() as patch:
        stream = Terminal(**options)
        patch.setattr(sys, "stdout", stream)
        yield stream


def test_on_a_terminal_a_line_of_a_word_cannot_pass_for_a_line() -> None:
    with stdout_is(isatty=True) as stdout:
        write_line("kv", "one\ntwo\t" + HOSTILE)
        write_table(["NAME", "WHY"], [["kv", "a\nb"]])
    assert stdout.text == f"kv  one\n    two\t{ESCAPED}\nNAME  WHY\nkv    a\\nb\n"


def test_for_scripts_a_word_is_one_column_of_one_line() -> None:
    with stdout_is(isatty=False) as stdout:
        write_line("kv", "one\ntwo\tthree")
        write_table(["NAME", "WHY"], [["kv", "a\tb"]])
    assert stdout.text == "kv\tone\\ntwo\\tthree\nkv\ta\\tb\n"


def test_a_secret_on_a_terminal_does_not_steer_it() -> None:
    with stdout_is(isatty=True) as stdout:
        write_values([("a/b", b"\x1b[2J\xff\nx")])
    assert stdout.text == "\\x1b[2J\\xff\nx\n"


def test_a_secret_elsewhere_is_as_it_is() -> None:
    with stdout_is(isatty=False) as stdout:
        write_values([("a/b", b"\x1b[2J\n")])
    assert stdout.text == "\x1b[2J\n"


def test_what_the_encoding_does_not_have_is_escaped() -> None:
    with stdout_is(isatty=False, encoding="ascii") as stdout:
        write_text("é")
        write_json({"é": "\ud800"})
    assert stdout.text == '\\xe9\n{"\\u00e9": "\\ud800"}\n'


def test_errors_keep_their_lines(capsys: pytest.CaptureFixture[str]) -> None:
    write_error("one\n  two" + HOSTILE)
    assert capsys.readouterr().err == f"one\n  two{ESCAPED}\n"


@pytest.mark.parametrize("path", sorted(CLI.rglob("*.py")), ids=lambda path: str(path.relative_to(CLI)))
def test_one_module_alone_prints(path: Path) -> None:
    if path.name != "output.py":
        for node in ast.walk(ast.parse(path.read_text())):
            assert not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print")
            assert not (isinstance(node, ast.Attribute) and node.attr in ("write", "writelines"))
