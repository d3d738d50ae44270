"""How a runtime receives a plugin: what it serves on the link, and the one registration that it takes there.

(wire.md sections 4 and 5.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from weakref import WeakSet

from plugmux_proto.plugins.v1.plugins_connect import RegisterService
from plugmux_proto.plugins.v1.plugins_pb2 import RegisterPluginRequest, RegisterPluginResponse

from ..connect import Code, RpcError
from ..contract.registration import BadPattern, Registration, RegistrationRefused, common_protocol_version
from ..exchange import ASGIApp
from ..link.app import HEALTH, Gate, LinkApp, StreamHandler
from ..link.link import Link, Peer
from ..yamux import Config, MemoryPool
from .configuration import BadConfiguration, Configurations
from .error import PluginCause, PluginError
from .health.checker import Prober, patient
from .health.policy import HealthPolicy
from .logs.log import LogBook
from .logs.service import PluginLogService
from .permissions import Permissions

if TYPE_CHECKING:
    from ..connect import Context, Interceptor, Service
    from .plugin import PluginHandle
    from .process.runner import Run
    from .source import Launch

__all__ = ["RegistrationHandler", "Registrar"]

REGISTER_PATH = "/plugins.v1.RegisterService/RegisterPlugin"
AGAIN = "this link has registered already"
LATE = "this link was refused, or its time is over"
MAX_CLAIM = 140
"""Characters of a name that are told where the plugin was refused."""


@dataclass(frozen=True, slots=True)
class Registrar:
    """What a runtime offers to every plugin that comes.

    Args:
        name: the runtime's name, told to the plugin.
        version: the runtime's version, told to the plugin.
        services: RPC services that plugins may call.
        app: an ASGI app for requests that no service takes.
        streams: raw streams that plugins may open, by name.
        interceptors: run around every RPC that a plugin calls.
        request_timeout: seconds that the runtime lets a unary call to a plugin take; 0 for no limit.
        protocol_versions: versions of the application's own protocol that the host speaks.
        mux: settings of the links' mux.
        logs: takes what plugins say over the log service.
        health: when plugins are checked, and what becomes of one that hangs.
        configurations: what the host gives to plugins at registration.
        permissions: what plugins may claim.
        pool: the memory that all links share.
        links: the links that have been opened.
    """

    name: str
    version: str
    services: tuple[Service, ...] = ()
    app: ASGIApp | None = None
    streams: Mapping[str, StreamHandler] | None = None
    interceptors: tuple[Interceptor, ...] = ()
    request_timeout: float = 0.0
    protocol_versions: tuple[int, ...] = (1,)
    mux: Config | None = None
    logs: LogBook = field(default_factory=LogBook)
    health: HealthPolicy = field(default_factory=HealthPolicy)
    configurations: Configurations = field(default_factory=Configurations)
    permissions: Permissions = field(default_factory=Permissions)
    pool: MemoryPool = field(default_factory=lambda: MemoryPool(Config().max_total_memory))
    links: WeakSet[Link] = field(default_factory=WeakSet)

    def open_link(self, peer: Peer, admit: Callable[[Registration], None]) -> tuple[Link, RegistrationHandler]:
        """A link for a plugin that is about to register.

        Args:
            peer: who is at the other end.
            admit: called with the checked registration; raises `RegistrationRefused` when it cannot be accepted.

        Returns:
            The link, not connected yet, and the desk at which the registration arrives.
        """
        desk = RegistrationHandler(self, admit)
        site = LinkApp(
            [*self.services, desk, PluginLogService(desk, self.logs)],
            app=self.app,
            streams=self.streams,
            gate=desk.gate,
            interceptors=self.interceptors,
        )
        config = patient(self.mux) if self.health.interval else self.mux
        link = desk.link = Link(site, initiator=False, peer=peer, config=config, pool=self.pool, registered=False)
        self.links.add(link)
        return link, desk

    def prober(self, plugin: PluginHandle, link: Link, run: Run | None = None) -> Prober:
        """What checks a plugin that has registered.

        Args:
            plugin: the plugin.
            link: its link.
            run: its process, where the runtime has launched it.
        """
        return Prober(plugin, link, self.health, self.logs.of(plugin.name), run)

    def precheck(self, launch: Launch) -> None:
        """See, before a plugin is started, that its registration can be accepted, as far as its manifest tells.

        Raises:
            PluginError: it would be refused.
        """
        spoken = launch.promise.protocol_versions
        try:
            if spoken:
                self._choose_version(launch.name, spoken)
            self.configurations.check(launch.name, launch.promise.configuration)
        except RegistrationRefused as error:
            raise PluginError(launch.name, PluginCause.REFUSED, str(error)) from None
        except BadConfiguration as error:
            raise PluginError(launch.name, PluginCause.BAD_CONFIGURATION, str(error)) from None

    def accept(self, registration: Registration) -> RegisterPluginResponse:
        """The answer to a registration.

        Raises:
            RegistrationRefused: plugin and host have no protocol version in common, or the configuration that the host
                has for the plugin is not one that it takes.
        """
        name = registration.name
        version = self._choose_version(name, registration.protocol_versions)
        try:
            self.configurations.check(name, registration.configuration)
        except BadConfiguration as error:
            raise RegistrationRefused(str(error)) from None
        response = RegisterPluginResponse(
            engine_name=self.name,
            engine_version=self.version,
            protocol_version=version,
            configuration_json=self.configurations.get(name),
        )
        response.request_timeout.FromMicroseconds(int(self.request_timeout * 1_000_000))
        return response

    def _choose_version(self, name: str, spoken: tuple[int, ...]) -> int:
        version = common_protocol_version(self.protocol_versions, spoken)
        if version is None:
            older = "plugin" if max(spoken) < max(self.protocol_versions) else "host"
            raise RegistrationRefused(
                f"plugin {name!r} speaks protocol versions {_listed(spoken)}, "
                f"the host {_listed(self.protocol_versions)}: upgrade the {older}"
            )
        return version


class RegistrationHandler(RegisterService):
    """Takes the one registration of a link.

    Attributes:
        reception: what the runtime offers.
        registered: done with the registration, or with the `RegistrationRefused` that was answered.
        gate: where the peer's other requests wait for the registration.
        link: the link, which has the plugin's name once it has registered.
        claimed: the name that the plugin has given, whether it was accepted or not.
    """

    link: Link

    def __init__(self, reception: Registrar, admit: Callable[[Registration], None]) -> None:
        self.reception = reception
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
            self.registered.exception()  # Whoever closes the desk knows.
        self.gate.close()

    async def register_plugin(self, request: RegisterPluginRequest, context: Context) -> RegisterPluginResponse:
        if self.registered.done():
            raise RpcError(Code.INTERNAL, "cannot rerun registration: " + (AGAIN if self.registration else LATE))
        self.claimed = request.name[:MAX_CLAIM]
        try:
            registration = Registration.from_request(request)
            response = self.reception.accept(registration)
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


def _listed(versions: tuple[int, ...]) -> str:
    return ", ".join(str(version) for version in sorted(versions))
