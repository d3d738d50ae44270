"""What can be given to a runtime as a plugin."""

from pathlib import Path

import pytest

from plugmux import Installed, Policies, Timeouts
from plugmux.errors import ConfigError
from plugmux.runtime import Launch, RestartPolicy, Runtime, name_of_command
from plugmux.runtime.process.local import plugin_environment
from plugmux.runtime.source import as_source


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["/opt/plugins/kv"], "kv"),
        (["kv.exe"], "kv"),
        (["KV.CMD"], "KV"),
        (["kv.bat", "--verbose"], "kv"),
        (["Python3.EXE", "-X", "dev", "Kv.PY"], "Kv"),
        (["python3.cmd", "-X", "dev", "Kv.PY"], "Kv"),
        (["kv.py"], "kv"),
        (["/usr/bin/python3.11", "-X", "dev", "kv.py"], "kv"),
        (["/usr/bin/env", "python3", "kv.py", "--verbose"], "kv"),
        (["node", "dist/kv.js", "x"], "kv"),
        (["python3"], "python3"),
    ],
)
def test_the_name_is_the_file_name_of_the_program(command: list[str], name: str) -> None:
    assert name_of_command(command) == name


def test_a_command_line_is_split_as_a_shell_splits_words() -> None:
    assert Launch.parse("kv --path 'a b' \"c\"").command == ["kv", "--path", "a b", "c"]


@pytest.mark.parametrize("text", ["", "  ", "kv 'open"])
def test_a_command_line_without_words_or_with_open_quotes_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        Launch.parse(text)


def test_paths_and_argument_lists_become_launches(tmp_path: Path) -> None:
    assert as_source(tmp_path / "kv") == Launch([str(tmp_path / "kv")])
    assert as_source(["kv", "-v"]) == Launch(("kv", "-v"))
    launch = Launch(["kv"])
    assert as_source(launch) is launch


@pytest.mark.parametrize("source", [3, object(), Launch])
def test_what_is_no_plugin_is_refused(source: object) -> None:
    with pytest.raises(ConfigError, match="is not a plugin source"):
        as_source(source)  # type: ignore[arg-type]  # no source


@pytest.mark.parametrize(
    "arguments",
    [
        {"command": []},
        {"command": [""]},
        {"command": ["kv"], "name": "a b"},
        {"command": ["kv"], "timeout": 0},
    ],
)
def test_a_launch_that_cannot_be_is_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        Launch(**arguments)  # type: ignore[arg-type]  # values of several types


@pytest.mark.parametrize("arguments", [{"tries": -1}, {"delay": -1}, {"delay": 5, "longest_delay": 1}, {"jitter": 2}])
def test_a_restart_policy_that_cannot_be_is_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        RestartPolicy(**arguments)  # type: ignore[arg-type]  # values of several types


def test_a_runtime_setting_out_of_range_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"Timeouts\.registration"):
        Runtime(policies=Policies(timeouts=Timeouts(registration=0)))


def test_explicit_variables_win_and_unsafe_ones_do_not_pass() -> None:
    host = {"PATH": "/bin", "HOME": "/h", "AWS_SECRET_ACCESS_KEY": "x", "LC_ALL": "C", "XDG_RUNTIME_DIR": "/run/u"}
    given = plugin_environment(host, {"HOME": None, "PATH": "/usr/bin", "MINE": "1"}, "kv")
    assert given == {"PATH": "/usr/bin", "LC_ALL": "C", "MINE": "1"}


def test_names_of_variables_that_do_not_pass_are_logged_and_values_are_not(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG", "plugmux.runtime"):
        plugin_environment({"PATH": "/bin", "TOKEN": "hunter2", "A": "x", "B": "y"}, {"B": "z"}, "kv")
    assert caplog.messages == ["plugin kv: not passed on to it: A, TOKEN"]


def test_no_value_of_the_environment_is_shown() -> None:
    env = {"PASSWORD": "hunter2"}
    assert "hunter2" not in f"{Launch(['kv'], env=env)} {Installed('kv@^1', env=env)!r}"
