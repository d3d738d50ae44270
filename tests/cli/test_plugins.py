"""`plugmux plugins`: the list, for people and for scripts."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest


def test_scripts_get_a_line_of_four_fields_for_each(plugmux: Any, plugin: Any) -> None:
    ran = plugmux("plugins", "--plugin", plugin("vault"), "--plugin", plugin("other"))
    assert (ran.status, ran.stderr) == (0, "")
    assert ran.lines == [
        "other\tv1.2.3\trunning\tother/**,kv.v1.KeyValueService",
        "vault\tv1.2.3\trunning\tvault/**,kv.v1.KeyValueService",
    ]


def test_people_get_columns_under_a_head(plugmux: Any, plugin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert plugmux("plugins", "--plugin", plugin("vault")).lines == [
        "NAME   VERSION  STATUS   SERVES",
        "vault  v1.2.3   running  vault/**,kv.v1.KeyValueService",
    ]


def test_json_has_the_same_and_the_reason(plugmux: Any, plugin: Any) -> None:
    ran = plugmux("plugins", "--json", "--plugin", plugin("vault"), "--plugin", "./missing")
    assert ran.status == 1
    missing, vault = json.loads(ran.stdout)
    assert vault == {
        "name": "vault",
        "version": "v1.2.3",
        "status": "running",
        "message": "",
        "pattern": "vault/**",
        "services": ["kv.v1.KeyValueService"],
        "health": "serving",
        "capabilities": [],
        "labels": {},
        "protocol_version": 1,
        "configurable": False,
        "identity": None,
        "address": None,
    }
    assert (missing["name"], missing["version"], missing["pattern"], missing["services"]) == ("missing", "", None, [])
    assert missing["message"].startswith("there is no program './missing': no file /")


def test_a_launched_plugin_that_does_not_run_is_listed_and_a_failure(plugmux: Any) -> None:
    ran = plugmux("plugins", "--plugin", "./missing")
    assert (ran.status, ran.lines) == (1, ["missing\t-\tgave up\t-"])
