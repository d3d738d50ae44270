"""A runtime of scripted plugins, for whatever asks plugins for secrets or for leave."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any, cast

import pytest
from plugmux_proto.resolver.v1.resolver_pb2 import GetSecretsResponse

from plugmux.contract.registration import Registration

Script = Callable[[Any], Awaitable[Any]]


class State(Enum):
    """The states of a runtime that matter here."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    BACKING_OFF = "backing off"
    CRASHED = "crashed"
    GAVE_UP = "gave up"
    STOPPED = "stopped"
    DISABLED = "disabled"


class ScriptedPlugin:
    """A plugin whose every RPC is one function of the request; it is its own client, too."""

    def __init__(self, name: str, state: State, status: str, registration: Registration | None, script: Script) -> None:
        self.name = name
        self.state = state
        self.status = status
        self.registration = registration
        self.requests: list[Any] = []
        self.timeouts: list[float | None] = []
        self._script = script
        self.check_access_script = script

    @property
    def will_run(self) -> bool:
        return self.state in (State.STARTING, State.RUNNING, State.BACKING_OFF, State.CRASHED)

    @property
    def decides_on_access(self) -> bool:
        return self.registration is not None and self.registration.access_control

    async def _answer(self, request: Any, timeout: float | None = None) -> Any:
        self.requests.append(request)
        self.timeouts.append(timeout)
        return await self._script(request)

    get_secrets = authorize = _answer

    async def check_access(self, request: Any, timeout: float | None = None) -> Any:
        self.requests.append(request)
        return await self.check_access_script(request)


class ScriptedRuntime:
    """Plugins by name, in the order of their names."""

    def __init__(self) -> None:
        self._plugins: list[ScriptedPlugin] = []
        self.access_control: set[str] = set()

    def add(
        self,
        name: str,
        pattern: str | None = None,
        script: Any = None,
        *,
        state: str = "RUNNING",
        status: str = "",
        registered: bool = True,
        access_control: bool = False,
        check: Any = None,
    ) -> ScriptedPlugin:
        """Add a plugin.

        Args:
            name: its name.
            pattern: its pattern, where it is a secrets provider.
            script: what it answers: envelopes by id and value, a message, an exception, or a function of the request.
            state: the name of its state.
            status: why it is in that state.
            registered: whether it has ever registered.
            access_control: whether it decides on access.
            check: what it answers to CheckAccess, where that is something else.
        """
        said = Registration(name, "v1.0.0", secrets_pattern=pattern, access_control=access_control)
        plugin = ScriptedPlugin(name, State[state], status, said if registered else None, _script(script))
        if check is not None:
            plugin.check_access_script = _script(check)
        self._plugins.append(plugin)
        return plugin

    def remove(self, name: str) -> None:
        """Remove a plugin."""
        self._plugins = [plugin for plugin in self._plugins if plugin.name != name]

    def plugins(self) -> list[ScriptedPlugin]:
        return sorted(self._plugins, key=lambda plugin: plugin.name)

    def client(self, client_class: Callable[..., Any], *, plugin: str | None = None, **options: Any) -> Any:
        return next(known for known in self._plugins if known.name == plugin)


def _script(script: Any) -> Script:
    if callable(script):
        return cast("Script", script)

    async def play(request: Any) -> Any:
        await asyncio.sleep(0)
        if isinstance(script, BaseException):
            raise script
        if isinstance(script, dict):
            envelope = GetSecretsResponse.Envelope
            return GetSecretsResponse(envelopes=[envelope(id=id, value=value) for id, value in script.items()])
        return script

    return play


@pytest.fixture
def runtime() -> ScriptedRuntime:
    return ScriptedRuntime()
