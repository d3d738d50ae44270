"""What a command works on: a runtime that listens somewhere, or plugins that the command launches itself."""

from __future__ import annotations

import argparse
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from ..aio.local_peer import PeerUsers
from ..contract.address import Address, NetworkAddress, is_network
from ..contract.launch import SOCKET_VARIABLE
from ..errors import PlugmuxError
from .address import default_addresses, find_runtime
from .launch.closing import close_runtime
from .launch.network import add_network_options, network_address, tls_of
from .launch.options import add_launch_options, add_plugin_option, check_launch_options, launch_runtime
from .terminal.progress import progress, starting

if TYPE_CHECKING:
    from plugmux_proto.resolver.v1.resolver_pb2 import GetSecretsResponse

    from ..contract.registration import Registration
    from ..exchange import ClientTransport
    from ..runtime import Runtime
    from ..secrets import Explanation, Pattern, Secret

__all__ = [
    "Listed",
    "Target",
    "add_connect_option",
    "add_peer_users_option",
    "add_target_options",
    "open_runtime",
    "open_target",
    "runtime_address",
]

MAX_LISTING = 64 * 1024 * 1024
"""Bytes of the answer about all plugins: each may register with some hundred KiB."""

ANSWER_TIME = 60.0
"""Seconds that a runtime may take to list its plugins or to give secrets: it gives each provider 30 s."""

IDLE = frozenset({"stopping", "stopped", "gave up", "disabled", "retries_exceeded"})
"""The states in which a plugin does not run, and will not by itself."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A plugin as `plugmux plugins` shows it.

    Args:
        name: the plugin's name.
        version: the version that it registered with; empty before.
        status: its state in one word, as the runtime says it.
        message: why it is in that state; empty where there is nothing to say.
        pattern: the pattern of a secrets provider, else `None`.
        services: full names of the services that it serves.
        health: its health while it runs; empty where it does not run.
        capabilities: free names that it registered with.
        labels: free metadata that it registered with.
        protocol_version: the version of the application's protocol that was chosen; 0 before.
        configurable: whether it takes a configuration.
        identity: who it is by its certificate, where it is on another machine.
        address: its address in the network, likewise.
    """

    name: str
    version: str
    status: str
    message: str
    pattern: str | None
    services: tuple[str, ...]
    health: str = ""
    capabilities: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    protocol_version: int = 0
    configurable: bool = False
    identity: str = ""
    address: str = ""

    @property
    def idle(self) -> bool:
        """Whether it does not run, and will not by itself."""
        return self.status in IDLE

    @property
    def why(self) -> str:
        """Why it is in its state; the state itself where there is nothing to say."""
        return self.message or f"it is {self.status}"


class Target(Protocol):
    """What every command can do, wherever the plugins are."""

    async def secrets(self, pattern: Pattern) -> list[Secret]:
        """The secrets that match; none is an empty list."""
        ...

    async def explain(self, pattern: Pattern) -> Explanation:
        """What becomes of each plugin when the pattern is asked for."""
        ...

    async def plugins(self) -> list[Listed]:
        """All plugins, sorted by name."""
        ...

    def transport(self, plugin: str | None) -> ClientTransport:
        """The way to the plugin that serves a request's service, or to the named one."""
        ...


def add_connect_option(parser: argparse._ActionsContainer) -> None:
    """Add `--connect` alone, for what only a runtime that runs can do."""
    parser.add_argument(
        "--connect",
        metavar="ADDR",
        help="the runtime to ask, unix:/path, unix:@name or tls://host:port; by default the user's own",
    )


def add_peer_users_option(parser: argparse.ArgumentParser) -> None:
    """Add `--peer-users`, for those who ask the runtime of another user."""
    parser.add_argument(
        "--peer-users",
        metavar="USERS",
        type=lambda text: [word.strip() for word in text.split(",") if word.strip()],
        default=[],
        help="names or numbers of users whose runtime is trusted as well as one's own and root's, separated by commas "
        "(also PLUGMUX_PEER_USERS)",
    )


def open_runtime(options: argparse.Namespace) -> ClientTransport:
    """The way to the runtime that the option of `add_connect_option` names.

    Raises:
        ConfigError: the address is not valid.
        NoRuntime: no runtime was found.
    """
    return _client(options, runtime_address(options))


def runtime_address(options: argparse.Namespace) -> Address | NetworkAddress:
    """Where the runtime is that the option of `add_connect_option` names.

    Raises:
        ConfigError: the address is not valid.
        NoRuntime: no runtime was found.
    """
    text = options.connect or os.environ.get(SOCKET_VARIABLE, "")
    if is_network(text):
        return network_address(text, options)
    addresses = [Address.parse(options.connect)] if options.connect else default_addresses()
    return find_runtime(addresses, PeerUsers(options.peer_users))


def _client(
    options: argparse.Namespace, address: Address | NetworkAddress, plugin: str | None = None
) -> ClientTransport:
    from ..http import SocketClient

    if isinstance(address, NetworkAddress):
        from ..link.client import NetworkClient

        return NetworkClient(address, tls_of(options), plugin=plugin)
    return SocketClient(str(address), peer_users=options.peer_users, plugin=plugin)


def add_target_options(parser: argparse.ArgumentParser) -> None:
    """Add `--connect` and `--plugin`, of which a user gives at most one kind."""
    add_peer_users_option(parser)
    group = parser.add_mutually_exclusive_group()
    add_connect_option(group)
    add_plugin_option(group, "launch this plugin, in place of asking a runtime")
    add_launch_options(parser, timeout="seconds for an answer; by default no limit but those of a runtime")
    add_network_options(parser)


@asynccontextmanager
async def open_target(options: argparse.Namespace) -> AsyncIterator[Target]:
    """What the options of `add_target_options` name, for the length of a block.

    Raises:
        ConfigError: an address or a command line is not valid, or two plugins have the same name.
        NoRuntime: no plugins are to be launched, and no runtime was found.
    """
    check_launch_options(options)
    if not options.plugin:
        address = runtime_address(options)
        yield _ListeningRuntime(lambda plugin: _client(options, address, plugin), str(address))
        return
    runtime = launch_runtime(options)
    async with progress(starting(runtime)):
        await runtime.start()
    try:
        yield _Launched(runtime)
    finally:
        await close_runtime(runtime)


class _Launched:
    """Plugins that the command has launched."""

    def __init__(self, runtime: Runtime) -> None:
        from ..secrets import Resolver

        self._runtime = runtime
        self._resolver = Resolver(runtime)

    async def secrets(self, pattern: Pattern) -> list[Secret]:
        return await self._resolver.get_all(pattern)

    async def explain(self, pattern: Pattern) -> Explanation:
        return await self._resolver.explain(pattern)

    async def plugins(self) -> list[Listed]:
        from ..runtime import Health

        return [
            Listed(
                name=plugin.name,
                version=plugin.version,
                status=plugin.state.value,
                message=plugin.status,
                pattern=plugin.registration.secrets_pattern if plugin.registration else None,
                services=plugin.registration.services if plugin.registration else (),
                health="" if plugin.health is Health.UNKNOWN else plugin.health.value,
                **_said(plugin.registration),
                identity=plugin.peer.identity if plugin.peer else "",
                address=plugin.peer.address if plugin.peer else "",
            )
            for plugin in self._runtime.plugins()
        ]

    def transport(self, plugin: str | None) -> ClientTransport:
        return self._runtime.client(_transport_alone, plugin=plugin)


def _said(registration: Registration | None) -> dict[str, Any]:
    """What a plugin has said of itself besides what it serves."""
    if registration is None:
        return {}
    return {
        "capabilities": registration.capabilities,
        "labels": registration.labels,
        "protocol_version": registration.protocol_version,
        "configurable": registration.configuration is not None,
    }


def _transport_alone(transport: ClientTransport) -> ClientTransport:
    """What a runtime gives to client classes."""
    return transport


class _ListeningRuntime:
    """A runtime that listens on a socket.

    Args:
        client: gives the way to it, or to one of its plugins.
        address: the socket's address.
    """

    def __init__(self, client: Callable[[str | None], ClientTransport], address: str) -> None:
        self._client = client
        self._transport = client(None)
        self._address = address

    async def secrets(self, pattern: Pattern) -> list[Secret]:
        from ..connect import Code, RpcError
        from ..secrets import Secret

        try:
            response = await self._ask(pattern)
        except RpcError as error:
            if error.code is Code.NOT_FOUND:
                return []
            raise
        try:
            return [Secret.from_envelope(envelope) for envelope in response.envelopes]
        except ValueError as error:
            raise PlugmuxError(f"the runtime's answer is of no use: {error}") from None

    async def explain(self, pattern: Pattern) -> Explanation:
        from ..secrets import Explanation

        return Explanation.from_accounts(pattern, (await self._ask(pattern, explain=True)).accounts)

    async def _ask(self, pattern: Pattern, *, explain: bool = False) -> GetSecretsResponse:
        from plugmux_proto.resolver.v1.resolver_connect import ResolverClient
        from plugmux_proto.resolver.v1.resolver_pb2 import GetSecretsRequest

        request = GetSecretsRequest(pattern=pattern.text, explain=explain)
        async with self._in_time():
            return await ResolverClient(self._transport).get_secrets(request)

    async def plugins(self) -> list[Listed]:
        from plugmux_proto.plugins.v1.plugins_connect import PluginManagementClient
        from plugmux_proto.plugins.v1.plugins_pb2 import ListPluginsRequest, RunStatus

        from ..connect import RpcLimits
        from ..contract.registration import UNREGISTERED_VERSION

        states = {number: name.removeprefix("RUN_STATUS_").lower() for name, number in RunStatus.items()}
        async with self._in_time():
            client = PluginManagementClient(self._transport, limits=RpcLimits(receive=MAX_LISTING))
            response = await client.list_plugins(ListPluginsRequest())
        return [
            Listed(
                name=plugin.name,
                version=plugin.version if plugin.version != UNREGISTERED_VERSION else "",
                status=plugin.state or states.get(plugin.run_status, "unspecified"),
                message=plugin.status_message,
                pattern=plugin.secrets_provider.pattern if plugin.HasField("secrets_provider") else None,
                services=tuple(plugin.services),
                health=plugin.health,
                capabilities=tuple(plugin.capabilities),
                labels=dict(plugin.labels),
                protocol_version=plugin.protocol_version,
                configurable=plugin.configurable,
                identity=plugin.identity,
                address=plugin.address,
            )
            for plugin in response.plugins
        ]

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        """Bound how long an answer may take: the runtime may be stopped, or no runtime at all."""
        import asyncio

        try:
            async with asyncio.timeout(ANSWER_TIME):
                yield
        except TimeoutError:
            raise PlugmuxError(
                f"the runtime at {self._address} took the connection, but did not answer within {ANSWER_TIME:g} s"
            ) from None

    def transport(self, plugin: str | None) -> ClientTransport:
        return self._transport if plugin is None else self._client(plugin)
