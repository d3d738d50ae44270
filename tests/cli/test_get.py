"""`plugmux get`: what scripts rely on, byte by byte."""

from __future__ import annotations

import base64
import json
import sys
from typing import Any

import pytest


def test_one_secret_is_its_value_raw_and_nothing_else(plugmux: Any, plugin: Any) -> None:
    ran = plugmux("get", "vault/a", "--plugin", plugin("vault"))
    assert (ran.status, ran.stdout, ran.stderr) == (0, b"hunter2\xff", "")


def test_a_terminal_gets_the_value_escaped_and_a_newline_behind_it(
    plugmux: Any, vault: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert plugmux("get", "vault/a", *vault).stdout == b"hunter2\\xff\n"


def test_several_secrets_are_a_line_each_with_id_tab_value(plugmux: Any, vault: Any) -> None:
    ran = plugmux("get", "vault/*", *vault)
    assert (ran.status, ran.stdout, ran.stderr) == (0, b"vault/a\thunter2\xff\nvault/b\ttwo\n", "")


def test_a_pattern_that_matches_one_secret_gives_it_raw(plugmux: Any, vault: Any) -> None:
    assert plugmux("get", "vault/**/b", *vault).stdout == b"two"


def test_json_is_one_array_of_objects_with_every_key(plugmux: Any, vault: Any) -> None:
    ran = plugmux("get", "vault/*", *vault, "--json")
    assert (ran.status, ran.stderr) == (0, "")
    first, second = json.loads(ran.stdout)
    assert list(first) == [
        "id",
        "value",
        "provider",
        "version",
        "created_at",
        "resolved_at",
        "expires_at",
        "metadata",
    ]
    assert base64.b64decode(first["value"]) == b"hunter2\xff"
    assert (first["id"], first["provider"], first["version"]) == ("vault/a", "vault", "1")
    assert (first["created_at"], first["expires_at"], first["metadata"]) == (None, None, {"owner": "us"})
    assert first["resolved_at"].endswith("Z")
    assert second["id"] == "vault/b"


@pytest.mark.parametrize(("options", "stdout"), [([], b""), (["--json"], b"[]\n")])
def test_nothing_found_is_exit_status_1(plugmux: Any, vault: Any, options: list[str], stdout: bytes) -> None:
    ran = plugmux("get", "vault/c", *vault, *options)
    assert (ran.status, ran.stdout) == (1, stdout)
    assert ran.stderr == "plugmux: no secret matches 'vault/c'; --explain tells why\n"


def test_several_plugins_are_asked(plugmux: Any, plugin: Any) -> None:
    plugins = ["--plugin", plugin("vault"), "--plugin", plugin("other")]
    assert plugmux("get", "other/b", *plugins).stdout == b"two"


def test_a_plugin_that_fails_is_told_on_stderr_and_the_others_answer(plugmux: Any, plugin: Any) -> None:
    ran = plugmux("get", "vault/b", "--plugin", "./no-such-plugin", "--plugin", plugin("vault"))
    assert (ran.status, ran.stdout) == (0, b"two")
    assert ran.stderr.count("there is no program './no-such-plugin'") == 1


def test_no_value_is_logged_however_much_is_logged(plugmux: Any, plugin: Any) -> None:
    ran = plugmux("get", "vault/a", "--verbose", "--plugin", plugin("vault"))
    assert (ran.status, ran.stdout) == (0, b"hunter2\xff")
    assert "a plugin may print what it likes" in ran.stderr
    assert "hunter2" not in ran.stderr


def test_explain_is_a_table_of_what_became_of_each_plugin(plugmux: Any, plugin: Any) -> None:
    plugins = ["--plugin", plugin("vault"), "--plugin", plugin("other"), "--plugin", "./nothing"]
    ran = plugmux("get", "vault/a", "--explain", *plugins)
    assert ran.status == 0
    assert [line.split()[:3] for line in ran.lines] == [
        ["PLUGIN", "PATTERN", "OUTCOME"],
        ["nothing", "-", "skipped"],
        ["other", "other/**", "skipped"],
        ["vault", "vault/**", "answered"],
    ]
    assert "hunter2" not in ran.stdout.decode("latin-1") + ran.stderr


def test_explain_as_json_and_nothing_found(plugmux: Any, vault: Any) -> None:
    ran = plugmux("get", "vault/c", "--explain", "--json", *vault)
    assert ran.status == 1
    assert json.loads(ran.stdout) == [
        {
            "plugin": "vault",
            "pattern": "vault/**",
            "outcome": "has none",
            "reason": "it has no secret that matches",
            "found": 0,
            "required": False,
        }
    ]
