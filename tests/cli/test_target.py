"""Runtimes that answer otherwise than ours does."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from plugmux_proto.plugins.v1 import plugins_pb2 as plugins
from plugmux_proto.plugins.v1.plugins_connect import PluginManagementService
from plugmux_proto.resolver.v1 import resolver_pb2 as resolver
from plugmux_proto.resolver.v1.resolver_connect import ResolverService

from plugmux.cli import target
from plugmux.cli.target import _ListeningRuntime
from plugmux.connect import App, Code, Context, RpcError
from plugmux.errors import PlugmuxError
from plugmux.runtime import State
from plugmux.runtime.state import ON_THE_WAY
from plugmux.secrets import Pattern
from support.app_transport import AppTransport


class Management(PluginManagementService):
    async def list_plugins(self, request: plugins.ListPluginsRequest, context: Context) -> plugins.ListPluginsResponse:
        listed = [plugins.Plugin(name=f"p{status}", run_status=status) for status in (1, 4)]  # type: ignore[arg-type]
        unknown = plugins.Plugin.FromString(plugins.Plugin(name="p9").SerializeToString() + b"\x30\x09")
        return plugins.ListPluginsResponse(plugins=[*listed, unknown])


class Answering(ResolverService):
    def __init__(self, answer: Any) -> None:
        self._answer = answer

    async def get_secrets(self, request: resolver.GetSecretsRequest, context: Context) -> resolver.GetSecretsResponse:
        if isinstance(self._answer, Exception):
            raise self._answer
        return resolver.GetSecretsResponse(envelopes=[self._answer])


@pytest.mark.parametrize("command", [["plugins"], ["get", "a"], ["get", "a", "--explain"], ["call", "a.B/C"]])
def test_a_runtime_that_does_not_answer_is_told(
    plugmux: Any, command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(target, "ANSWER_TIME", 0.1)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(f"{tmp_path}/s")
        silent.listen()
        ran = plugmux(*command, "--connect", f"unix:{tmp_path}/s")
    assert (ran.status, ran.stdout) == (1, b"")
    assert ran.told == (
        f"plugmux: the runtime at unix:{tmp_path}/s took the connection, but did not answer within 0.1 s"
    )


def test_every_state_in_which_a_plugin_will_not_run_is_known() -> None:
    assert {state.value for state in State if state not in ON_THE_WAY} | {"retries_exceeded"} == target.IDLE


def listening(*services: Any) -> _ListeningRuntime:
    return _ListeningRuntime(lambda plugin: AppTransport(App(services)), "unix:/s")


async def test_a_runtime_without_finer_states_is_shown_by_its_run_status() -> None:
    listed = await listening(Management()).plugins()
    assert [(plugin.name, plugin.status) for plugin in listed] == [
        ("p1", "running"),
        ("p4", "retries_exceeded"),
        ("p9", "unspecified"),
    ]


async def test_a_refusal_is_not_taken_for_nothing_found() -> None:
    refusing = listening(Answering(RpcError(Code.PERMISSION_DENIED, "not you")))
    with pytest.raises(RpcError, match="not you"):
        await refusing.secrets(Pattern("a"))
    assert await listening(Answering(RpcError(Code.NOT_FOUND))).secrets(Pattern("a")) == []


async def test_a_malformed_secret_is_an_error_that_does_not_quote_it() -> None:
    envelope = resolver.GetSecretsResponse.Envelope(id="*", value=b"hunter2")
    with pytest.raises(PlugmuxError, match="of no use") as caught:
        await listening(Answering(envelope)).secrets(Pattern("a"))
    assert "hunter2" not in str(caught.value)
