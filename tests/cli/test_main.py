"""The command line as a whole: usage, exit statuses, what goes where."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from typing import Any

import pytest

from plugmux.contract.version import COMPILED, VERSION


def test_the_version_is_the_only_thing_on_stdout(plugmux: Any) -> None:
    ran = plugmux("--version")
    assert (ran.status, ran.stdout.decode(), ran.stderr) == (0, f"plugmux {VERSION.removeprefix('v')}\n", "")


@pytest.mark.parametrize("verbose", ["-v", "--verbose"])
def test_the_version_tells_the_build_where_that_is_asked_for(plugmux: Any, verbose: str) -> None:
    build = "compiled" if COMPILED else "pure"
    ran = plugmux("--version", verbose)
    told = f"plugmux {VERSION.removeprefix('v')} ({build}, Python {platform.python_version()})\n"
    assert (ran.status, ran.stdout.decode(), ran.stderr) == (0, told, "")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["unknown"],
        ["get"],
        ["get", "a", "b"],
        ["get", "a", "--connect", "unix:/x", "--plugin", "y"],
        ["get", "a", "--jso"],
        ["get", "a//b"],
        ["get", "a", "--connect", "http://x"],
        ["get", "a", "--connect", "unix:/" + "x" * 200],
        ["get", "a", "--connect", "name"],
        ["get", "a", "--connect", "unix:@"],
        ["get", "a", "--plugin", "'unclosed"],
        ["get", "a", "--plugin", ""],
        ["plugins", "a"],
        ["plugins", "enable"],
        ["plugins", "restart", "a", "--json"],
        ["plugins", "disable", "a", "--plugin", "b"],
        ["plugins", "--connect", "tcp:1"],
        ["call"],
        ["call", "Get"],
        ["call", "kv.v1.KeyValueService.Get"],
        ["call", "kv.v1.KeyValueService/Get/More"],
        ["call", "kv.v1.KeyValueService/Get", "{"],
        ["call", "kv.v1.KeyValueService/Get", "{} nonsense"],
        ["run", "--listen", "nonsense:/x"],
        ["run", "--listen", "name"],
        ["run", "--watch", "-3"],
        ["run", "--watch", "nan"],
        ["run", "--watch", "inf"],
        ["run", "--watch", "soon"],
        ["run", "--config", "x"],
        ["run", "--config", "=x"],
        ["run", "--listen", "unix:/" + "x" * 200],
        ["run", "--plugin", "'unclosed"],
    ],
)
def test_wrong_usage_exits_with_2_and_says_why_on_stderr(plugmux: Any, arguments: list[str]) -> None:
    ran = plugmux(*arguments)
    assert (ran.status, ran.stdout) == (2, b"")
    assert "plugmux" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("text", ["x", "=x"])
def test_a_configuration_without_a_name_is_told_as_such(plugmux: Any, text: str) -> None:
    ran = plugmux("run", "--config", text)
    assert ran.told == f"plugmux: --config {text}: write NAME=FILE, where NAME is one of a plugin"


@pytest.mark.parametrize("arguments", [["--help"], ["get", "--help"], ["run", "-h"], ["call", "-h"], ["plugins", "-h"]])
def test_help_is_a_result(plugmux: Any, arguments: list[str]) -> None:
    ran = plugmux(*arguments)
    assert (ran.status, ran.stderr) == (0, "")
    assert ran.stdout.startswith(b"usage: plugmux")


def test_the_command_starts_without_what_only_its_commands_need() -> None:
    check = (
        "import sys; from plugmux.cli.program import _parser; _parser().parse_args(['get', 'a']); "
        "print([name for name in ('asyncio', 'google.protobuf', 'h11', 'httpx', 'ssl') if name in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", check], text=True) == "[]\n"


def test_the_package_can_be_run_as_a_module() -> None:
    ran = subprocess.run([sys.executable, "-m", "plugmux.cli", "get", "a//b"], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("plugmux: 'a//b' is not a pattern")


@pytest.mark.parametrize(
    ("arguments", "redirection", "told"),
    [
        (["--version"], ">&-", "plugmux: stdout is closed\n"),
        (["plugins", "--plugin", "./nothing", "--json"], ">&-", "plugmux: stdout is closed\n"),
        (["--version"], "1</dev/null", "plugmux: [Errno 9] Bad file descriptor\n"),
        (["get", "--help"], "1</dev/null", "plugmux: [Errno 9] Bad file descriptor\n"),
        (["get", "a//b"], "2>&-", ""),
    ],
)
def test_streams_that_cannot_be_written_to(arguments: list[str], redirection: str, told: str) -> None:
    command = ["sh", "-c", f'"$@" {redirection}', "sh", sys.executable, "-m", "plugmux.cli", *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONUNBUFFERED": ""})
    assert (ran.returncode, ran.stdout, ran.stderr.partition("see https://")[0]) == (1 if told else 2, "", told)


def test_a_reader_that_goes_away_ends_the_command_quietly(plugin: Any) -> None:
    command = [sys.executable, "-m", "plugmux.cli", "get", "vault/*", "--plugin", plugin("vault")]
    ran = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert ran.stdout is not None
    ran.stdout.close()
    _, stderr = ran.communicate()
    assert (ran.returncode, stderr) == (1, b"")
