"""How a runtime receives a plugin: what it serves on the link, and the one registration that it takes there.

(docs/wire.md sections 4 and 5.)
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from weakref import WeakSet

from plugmux_proto.plugins.v1.plugins_connect import RegisterService
from plugmux_proto.plugins.v1.plugins_pb2 import RegisterPluginRequest, RegisterPluginResponse

from ..connect import Code, RpcError
from ..contract.registration import (
    BadPattern,
    ConfigurationRefused,
    Registration,
    RegistrationRefused,
    common_protocol_version,
)
from ..errors import BadConfiguration, PluginCause, PluginError
from ..exchange import ASGIApp
from ..link.app import HEALTH, Gate, LinkApp, StreamHandler
from ..link.link import Link, Peer
from ..yamux import Config, MemoryPool
from .logs.log import LogBook
from .settings import Host, Permissions, Policies

if TYPE_CHECKING:
    from ..connect import Context, Interceptor, Service
    from ..contract.registration import Configuration
    from .plugin import PluginRecord
    from .process.run import Run
    from .source import Launch

__all__ = ["RegistrationHandler", "Registrar"]

LOG_SERVICE = "plugmux.v1.LogService"
REGISTER_PATH = "/plugins.v1.RegisterService/RegisterPlugin"
AGAIN = "this link has registered already"
LATE = "this link was refused, or its time is over"
MAX_CLAIM = 140
"""Characters of a name that are told where the plugin was refused."""


@dataclass(frozen=True, slots=True)
class Registrar:
    """What a runtime offers to every plugin, and how it receives one.

    Args:
        host: what the runtime tells plugins and clients of itself.
        policies: those of the runtime.
        permissions: what plugins may claim.
        services: RPC services that plugins may call.
        app: an ASGI app for requests that no service takes.
        streams: raw streams that plugins may open, by name.
        interceptors: run around every RPC that a plugin calls.
        configurations: what the host gives to plugins at registration, as JSON by name.
        logs: takes what plugins say over the log service.
        links: the links that have been opened.
        on_link: called with each link that is opened.
        runtime_id: tells plugins which of their links lead to this runtime.
    """

    host: Host = field(default_factory=Host)
    policies: Policies = field(default_factory=Policies)
    permissions: Permissions = field(default_factory=Permissions)
    services: tuple[Service, ...] = ()
    app: ASGIApp | None = None
    streams: Mapping[str, StreamHandler] | None = None
    interceptors: tuple[Interceptor, ...] = ()
    configurations: dict[str, str] = field(default_factory=dict)
    logs: LogBook = field(default_factory=LogBook)
    links: WeakSet[Link] = field(default_factory=WeakSet)
    on_link: set[Callable[[Link], None]] = field(default_factory=set)
    runtime_id: str = field(default_factory=lambda: os.urandom(8).hex())
    pool: MemoryPool = field(init=False)
    """The memory that all links share."""
    object_pool: MemoryPool = field(init=False)
    """The memory that the far ends of the links to objects of this process share."""

    def __post_init__(self) -> None:
        config = self.policies.mux or Config()
        for pool in ("pool", "object_pool"):
            object.__setattr__(self, pool, MemoryPool(config.max_total_memory))

    def open_link(
        self, peer: Peer, policies: Policies, admit: Callable[[Registration], None]
    ) -> tuple[Link, RegistrationHandler]:
        """A link for a plugin that is about to register.

        Args:
            peer: who is at the other end.
            policies: those of the plugin.
            admit: called with the checked registration; raises `RegistrationRefused` when it cannot be accepted.

        Returns:
            The link, not connected yet, and what takes the registration.
        """
        handler = RegistrationHandler(self, admit)
        app = LinkApp(
            [*self.services, handler],
            app=self.app,
            streams=self.streams,
            gate=handler.gate,
            interceptors=self.interceptors,
            lazy={LOG_SERVICE: handler.log_service},
        )
        config = policies.link_config
        if peer.address:
            from ..link.hijack import network_config

            config = network_config(policies.mux)
        link = handler.link = Link(app, initiator=False, peer=peer, config=config, pool=self.pool, registered=False)
        link.debug = self.host.debug
        self.links.add(link)
        for told in self.on_link:
            told(link)
        return link, handler

    async def hung(self, plugin: PluginRecord, link: Link, run: Run | None = None) -> str:
        """Check a plugin's health until it hangs and is to be ended, and return why. As a rule this is cancelled.

        Args:
            plugin: the plugin; its record is told what is found.
            link: its link.
            run: its process, where the runtime has launched it.
        """
        policy = plugin.policies.health
        if not policy.interval:
            await asyncio.Event().wait()
        # Plugins that were started together are not checked together.
        await asyncio.sleep(policy.interval * random.random())  # noqa: S311 -- jitter, not a secret
        from .health.checker import HealthChecker

        return await HealthChecker(plugin, link, policy, self.logs.of(plugin.name), run).hung()

    def precheck(self, launch: Launch) -> None:
        """Check before a plugin is started that its registration can be accepted, as far as its manifest tells.

        Raises:
            PluginError: it would be refused.
        """
        spoken = launch.claims.protocol_versions
        try:
            if spoken:
                self._choose_version(launch.name, spoken)
            self._check_configuration(launch.name, launch.claims.configuration)
        except RegistrationRefused as error:
            raise PluginError(launch.name, PluginCause.REFUSED, str(error)) from None
        except BadConfiguration as error:
            raise PluginError(launch.name, PluginCause.BAD_CONFIGURATION, str(error)) from None

    def accept(self, registration: Registration) -> RegisterPluginResponse:
        """The answer to a registration.

        Raises:
            RegistrationRefused: plugin and host have no protocol version in common, the configuration that the host has
                for the plugin is not one that it takes, or the host takes it for an access-control module and it is
                none.
        """
        name = registration.name
        if name in self.permissions.access_control and not registration.access_control:
            raise RegistrationRefused("it is no access-control module, and Permissions.access_control names it")
        version = self._choose_version(name, registration.protocol_versions)
        try:
            self._check_configuration(name, registration.configuration)
        except BadConfiguration as error:
            raise ConfigurationRefused(str(error)) from None
        response = RegisterPluginResponse(
            engine_name=self.host.name,
            engine_version=self.host.version,
            protocol_version=version,
            configuration_json=self.configurations.get(name, ""),
            runtime_id=self.runtime_id,
            debug=self.host.debug,
        )
        response.request_timeout.FromMicroseconds(int(self.policies.timeouts.request * 1_000_000))
        return response

    def _check_configuration(self, name: str, declared: Configuration | None) -> None:
        """Check the configuration that the host has for a plugin; none counts as an empty one.

        Raises:
            BadConfiguration: it is not what the plugin takes, or the plugin's schema cannot be used.
        """
        if declared is not None:
            from .changes.configuration import check

            check(name, self.configurations.get(name, ""), declared)

    def _choose_version(self, name: str, spoken: tuple[int, ...]) -> int:
        version = common_protocol_version(self.host.protocol_versions, spoken)
        if version is None:
            older = "plugin" if max(spoken) < max(self.host.protocol_versions) else "host"
            raise RegistrationRefused(
                f"plugin {name!r} speaks protocol versions {_listed(spoken)}, "
                f"the host {_listed(self.host.protocol_versions)}: upgrade the {older}"
            )
        return version


class RegistrationHandler(RegisterService):
    """Takes the one registration of a link.

    Attributes:
        registrar: what the runtime offers.
        registered: done with the registration, or with the `RegistrationRefused` that was answered.
        gate: where the peer's other requests wait for the registration.
        link: the link, which has the plugin's name once it has registered.
        claimed: the name that the plugin has given, whether it was accepted or not.
    """

    link: Link

    def __init__(self, registrar: Registrar, admit: Callable[[Registration], None]) -> None:
        self.registrar = registrar
        self._admit = admit
        self.registered: asyncio.Future[Registration] = asyncio.get_running_loop().create_future()
        self.gate = Gate(None, passes=frozenset({HEALTH, REGISTER_PATH}))
        self.claimed = ""

    @property
    def registration(self) -> Registration | None:
        """What the plugin has registered with; `None` where it has not, or was refused."""
        return None if not self.registered.done() or self.registered.exception() else self.registered.result()

    def close(self) -> None:
        """Take no registration any more, and refuse what waits for one; harmless where the plugin has registered."""
        if not self.registered.done():
            self.registered.set_exception(RegistrationRefused("the time for its registration is over"))
            self.registered.exception()  # The caller of close knows it.
        self.gate.close()

    def log_service(self) -> Service:
        """Takes the log records of the plugin; made when it sends the first."""
        from .logs.service import PluginLogService

        return PluginLogService(self.registered, self.registrar.logs)

    async def register_plugin(self, request: RegisterPluginRequest, context: Context) -> RegisterPluginResponse:
        if self.registered.done():
            raise RpcError(Code.INTERNAL, "cannot rerun registration: " + (AGAIN if self.registration else LATE))
        self.claimed = request.name[:MAX_CLAIM]
        try:
            registration = Registration.from_request(request)
            response = self.registrar.accept(registration)
            self._admit(registration)
        except RegistrationRefused as error:
            self.registered.set_exception(error)
            self.registered.exception()  # It has been seen: the answer carries it.
            code = Code.INVALID_ARGUMENT if isinstance(error, BadPattern) else Code.INTERNAL
            raise RpcError(code, str(error)) from None
        self.registered.set_result(replace(registration, protocol_version=response.protocol_version))
        self.link.peer = self.link.peer._replace(name=registration.name)
        self.link.mark_registered()
        self.gate.open()
        return response


def _listed(versions: Collection[int]) -> str:
    return ", ".join(str(version) for version in sorted(versions))
