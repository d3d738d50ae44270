"""What `--plugin` names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from plugmux.cli.launch.source import parse_command, parse_plugins
from plugmux.discovery import Installed
from plugmux.errors import ConfigError
from plugmux.runtime import Launch


@pytest.mark.parametrize(
    ("text", "name", "command"),
    [
        ("./kv -v", "kv", ["./kv", "-v"]),
        ("store=./kv -v", "store", ["./kv", "-v"]),
        ("my.store-2='./a kv' a=b", "my.store-2", ["./a kv", "a=b"]),
        ("store='./my plug!n'", "store", ["./my plug!n"]),
        ("./kv=1", "kv=1", None),
        ("dir/kv=1 -v", "kv=1", None),
        ("'kv=1'", "kv=1", None),
        ("./kv --mode=fast", "kv", ["./kv", "--mode=fast"]),
        ("env KEY=value ./kv", "env", ["env", "KEY=value", "./kv"]),
        ("python a=b.py", "a=b", None),
    ],
)
def test_what_stands_before_the_first_equals_sign_is_a_name_if_it_can_be_one(
    text: str, name: str, command: list[str] | None
) -> None:
    if command is None:  # It is no name, and the file's name is none either.
        with pytest.raises(ConfigError, match=f"'{name}' cannot be a plugin's name; give it another: NAME=CMD"):
            parse_command(text)
    else:
        launch = parse_command(text)
        assert isinstance(launch, Launch)
        assert (launch.name, launch.command) == (name, command)


@pytest.mark.parametrize("text", ["kv@^1.2", "kv@=1.2", "kv@>=1.2 <3"])
def test_a_range_of_versions_may_have_equals_signs(text: str) -> None:
    (plugin,) = parse_plugins([text])
    assert isinstance(plugin, Installed)
    assert str(plugin.requirement) == text


@pytest.mark.parametrize("command", [["get", "a"], ["plugins"], ["run", "--listen=unix:@plugmux-test-nobody"]])
@pytest.mark.parametrize(
    ("plugins", "told"),
    [
        (["python a/plug.py", "python b/plug.py"], "2 plugins are named 'plug'; give one another name: --plugin NAME"),
        (["a=./plug", "a=./plug"], "2 plugins are named 'a'; "),
        (["'/x/my plug!n'"], "'my plug!n' cannot be a plugin's name; give it another: NAME=CMD\n"),
        (["a="], "a plugin's command is empty"),
    ],
)
def test_what_is_no_plugin_is_told_in_the_command_lines_words(
    plugmux: Any, command: list[str], plugins: list[str], told: str
) -> None:
    ran = plugmux(*command, *(f"--plugin={plugin}" for plugin in plugins))
    assert (ran.status, ran.stdout) == (2, b"")
    assert ran.stderr.startswith(f"plugmux: {told}")


@pytest.mark.parametrize("command", ["check", "dev"])
@pytest.mark.parametrize("text", ["tls://kv.example:7444", "kv=tls://kv.example:7444"])
def test_what_starts_its_plugin_takes_none_that_runs_elsewhere(plugmux: Any, command: str, text: str) -> None:
    ran = plugmux(command, text)
    assert (ran.status, ran.stdout) == (2, b"")
    assert ran.stderr.startswith(f"plugmux: {text!r} is a plugin that runs already: this command starts its plugin")


def test_two_plugins_of_one_program_run_beside_each_other(plugmux: Any, plugin: Any, tmp_path: Path) -> None:
    command = plugin("vault")
    ran = plugmux("plugins", "--plugin", f"a={command}", "--plugin", f"b={command}")
    assert ran.status == 0
    assert [line.split("\t")[::2] for line in ran.lines] == [["a", "running"], ["b", "running"]]
