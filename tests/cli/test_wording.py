"""The library's advice, in the command line's words."""

from __future__ import annotations

from typing import Any

import pytest
from kv.v1.kv_connect import KeyValueService

from plugmux import ConfigError, Permissions
from plugmux.cli.wording import ADVICE, worded
from plugmux.connect.server.unary import failure
from plugmux.runtime import PluginCause

GET = "kv.v1.KeyValueService/Get"

FAILS = """\
from kv.v1.kv_connect import KeyValueService
from plugmux import Plugin
from plugmux.secrets import Provider

class Secrets(Provider):
    pattern = "broken/**"

    async def get_secrets(self, pattern):
        raise KeyError

class Store(KeyValueService):
    async def get(self, request, context):
        raise KeyError

Plugin(Secrets(), Store(), version="v1.2.3").run()
"""

LIMIT = "(limits=...)"
"""What only a host has set, and its author can raise."""


def test_no_advice_is_of_arguments_in_python() -> None:
    for cause in PluginCause:
        assert "=...)" not in worded(cause.hint).replace(LIMIT, "")


def test_the_words_that_are_replaced_are_the_librarys() -> None:
    with pytest.raises(ConfigError) as bad_proxy:
        Permissions(proxies=["nowhere"])
    said = [cause.hint for cause in PluginCause]
    said += [str(failure(KeyError(), KeyValueService.spec.methods[0])), str(bad_proxy.value)]
    for theirs in ADVICE:
        assert any(theirs in each for each in said), theirs


@pytest.mark.parametrize("command", [["get", "broken/a"], ["get", "broken/a", "--explain"], ["call", GET]])
def test_a_handler_that_fails_is_told_with_the_way_to_its_log(plugmux: Any, program: Any, command: list[str]) -> None:
    ran = plugmux(*command, "--plugin", program("broken", FAILS))
    assert ran.status == 1
    assert (
        "the handler failed; the server's log says why (on stderr with --plugin, else see plugmux logs)"
        in ran.stdout.decode() + ran.stderr
    )
    assert "KeyError" in ran.stderr
