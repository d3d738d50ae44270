"""The runtime's own services on its sockets: the list of plugins, and its version. (docs/wire.md section 4.)"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from plugmux_proto.health.v1.health_connect import VersionService
from plugmux_proto.health.v1.health_pb2 import GetVersionRequest, GetVersionResponse
from plugmux_proto.plugins.v1 import plugins_pb2 as pb
from plugmux_proto.plugins.v1.plugins_connect import PluginManagementService

from ...connect import Code, Context, RpcError
from ...contract.registration import UNREGISTERED_VERSION
from ...errors import PluginCause, PluginError, StateError
from ..health.policy import Health
from ..plugin import Control, PluginHandle
from ..settings import Permissions, SocketUse
from ..state import State
from .app import CLOSED

__all__ = ["Managed", "Management", "RuntimeVersion", "as_rpc_errors"]


class Managed(Control, Protocol):
    """The runtime whose plugins are managed."""

    def plugins(self) -> Sequence[PluginHandle]: ...
    def plugin(self, name: str) -> PluginHandle: ...


class RuntimeVersion(VersionService):
    """Names the version of the runtime."""

    def __init__(self, version: str) -> None:
        self._version = version

    async def get_version(self, request: GetVersionRequest, context: Context) -> GetVersionResponse:
        return GetVersionResponse(version=self._version)


class Management(PluginManagementService):
    """Lists the plugins of a runtime and switches them."""

    def __init__(self, runtime: Managed, permissions: Permissions) -> None:
        self._runtime = runtime
        self._permissions = permissions

    async def list_plugins(self, request: pb.ListPluginsRequest, context: Context) -> pb.ListPluginsResponse:
        self._check_open("observe")
        return pb.ListPluginsResponse(plugins=[describe(plugin) for plugin in self._runtime.plugins()])

    async def enable_plugin(self, request: pb.EnablePluginRequest, context: Context) -> pb.EnablePluginResponse:
        self._check_open("manage")
        with as_rpc_errors():
            await self._runtime.enable(request.name)
        return pb.EnablePluginResponse()

    async def disable_plugin(self, request: pb.DisablePluginRequest, context: Context) -> pb.DisablePluginResponse:
        self._check_open("manage")
        with as_rpc_errors():
            self._check_no_module(request.name)
            await self._runtime.disable(request.name)
        return pb.DisablePluginResponse()

    async def restart_plugin(self, request: pb.RestartPluginRequest, context: Context) -> pb.RestartPluginResponse:
        self._check_open("manage")
        with as_rpc_errors():
            await self._runtime.restart(request.name)
        return pb.RestartPluginResponse()

    def _check_open(self, use: SocketUse) -> None:
        if use not in self._permissions.socket:
            raise RpcError(Code.PERMISSION_DENIED, CLOSED.format(use))

    def _check_no_module(self, name: str) -> None:
        """Check that no client disables a plugin that decides on what clients may have."""
        if self._runtime.plugin(name).decides_on_access or name in self._permissions.access_control:
            raise RpcError(
                Code.PERMISSION_DENIED,
                f"plugin {name!r} decides on access to secrets: only the host disables it (Runtime.disable)",
            )


class as_rpc_errors:  # noqa: N801 -- reads as a statement
    """Answers a `PluginError`, or that the runtime is closed, as the RPC error that fits it."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, PluginError):
            code = Code.NOT_FOUND if error.cause is PluginCause.UNKNOWN else Code.FAILED_PRECONDITION
            raise RpcError(code, str(error)) from error
        if isinstance(error, StateError):
            raise RpcError(Code.FAILED_PRECONDITION, str(error)) from error


def describe(plugin: PluginHandle) -> pb.Plugin:
    """A plugin as the wire's list has it."""
    said = plugin.registration
    listed = pb.Plugin(
        name=plugin.name,
        version=plugin.version or UNREGISTERED_VERSION,
        disabled=plugin.state is State.DISABLED,
        external=plugin.external,
        run_status=plugin.state.run_status,
        status_message=plugin.status,
        state=plugin.state.value,
        pid=plugin.pid or 0,
        restarts=plugin.restarts,
        health="" if plugin.health is Health.UNKNOWN else plugin.health.value,
    )
    if plugin.peer is not None:
        listed.identity, listed.address = plugin.peer.identity, plugin.peer.address
    if said is None:
        return listed
    listed.protocol_version = said.protocol_version
    listed.configurable = said.configuration is not None
    listed.services.extend(said.services)
    listed.capabilities.extend(said.capabilities)
    listed.labels.update(said.labels)
    if said.secrets_pattern is not None:
        listed.secrets_provider.pattern = said.secrets_pattern
    if said.access_control:
        listed.access_control_module.SetInParent()
    return listed
