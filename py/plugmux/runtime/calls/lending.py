"""Objects between a host and its plugins: instances that it asks for, and objects that one lends the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from plugmux_proto.plugmux.v1.instance_connect import InstanceClient
from plugmux_proto.plugmux.v1.instance_pb2 import OpenRequest

from ...connect import Code, RpcError
from ...contract.redact import redact
from ...errors import BadConfiguration, ConfigError, ExchangeError, LinkError, PluginCause, PluginError
from ...exchange import Request, Response, StreamingResponse
from ...link.app import LinkApp
from ...link.forward import Relay
from ...link.references import Loan, new_reference
from ...link.remote import RemoteObject
from ...link.servable import Servable, services_of
from ..changes.configuration import Configurable, as_json, check
from .response import RoutedResponse

if TYPE_CHECKING:
    from ...connect import Interceptor
    from ...link.link import Link
    from ..plugin import PluginRecord
    from ..registry import Registry
    from .router import Router

__all__ = ["borrow", "lend", "open_instance"]


async def open_instance(router: Router, name: str, configuration: Configurable, timeout: float) -> RemoteObject:
    """Ask a plugin, or the replica of it that has the least to do, for an instance.

    Args:
        router: has the plugins.
        name: the plugin.
        configuration: of the instance.
        timeout: seconds that this may take, with the wait for a plugin that is starting.

    Raises:
        BadConfiguration: it is not what an instance of the plugin takes.
        PluginError: there is no such plugin, it does not run, or it has replicas: it cannot be told which of them has
            lent the object.
    """
    text = as_json(name, configuration)
    plugin, link = await router.choose(name, timeout)
    kind = plugin.registration.instances if plugin.registration else None
    if kind is None:
        raise PluginError(
            name, PluginCause.UNSUPPORTED, "it gives no instances: it has not registered with Instances(...)"
        )
    if kind.configuration is not None:
        check(name, text, kind.configuration, "an instance of plugin")
    transport = Pinned(plugin, link, router.registry)
    try:
        opened = await InstanceClient(transport).open(OpenRequest(configuration_json=text), timeout=timeout)
    except RpcError as error:
        if error.code is not Code.INVALID_ARGUMENT:
            raise
        raise BadConfiguration(f"plugin {name!r} opened no instance: {redact(error.message, text)}") from None
    return RemoteObject(opened.reference, transport)


def lend(
    replicas: Sequence[PluginRecord], lent: Sequence[Servable | RemoteObject], interceptors: Sequence[Interceptor]
) -> Loan:
    """Let a plugin, and its replicas as they run now, call an object of the host's or of another plugin's.

    Args:
        replicas: the plugin and its replicas.
        lent: the services of the object; or one object that a plugin has lent to the host.
        interceptors: run around every call of an object of the host's.

    Raises:
        ConfigError: an object cannot be served.
        PluginError: the plugin does not run.
    """
    places = [plugin.link.references for plugin in replicas if plugin.ready and plugin.link]
    if not places:
        raise replicas[0].not_running()
    reference = new_reference()
    app = _app(lent, interceptors)
    for place in places:
        place.lend(reference, app)
    return Loan(reference, places)


def _app(lent: Sequence[Servable | RemoteObject], interceptors: Sequence[Interceptor]) -> Relay | LinkApp:
    servables = [servable for servable in lent if not isinstance(servable, RemoteObject)]
    if len(servables) == len(lent):
        return LinkApp(services_of(servables), interceptors=interceptors)
    if len(lent) > 1:
        raise ConfigError("an object that a plugin has lent is lent on alone, not together with other services")
    (remote,) = (remote for remote in lent if isinstance(remote, RemoteObject))
    return Relay(remote)


def borrow(registry: Registry, name: str, reference: str) -> RemoteObject:
    """An object that a plugin has lent to the host.

    Args:
        registry: the plugins of the runtime.
        name: the plugin.
        reference: what stood in its message.

    Raises:
        PluginError: there is no such plugin, it does not run, or it has replicas: it cannot be told which of
            them has lent the object.
    """
    plugin, *others = registry.named(name)
    if others:
        raise PluginError(
            plugin.name,
            PluginCause.UNSUPPORTED,
            "a reference is one replica's own, and it has several: borrow from the instance, or from the call's link",
        )
    if plugin.link is None:
        raise plugin.not_running()
    return RemoteObject(reference, Pinned(plugin, plugin.link, registry))


class Pinned:
    """The transport to one plugin over the link that it has now; what ends with the link ends with this.

    Args:
        plugin: the plugin.
        link: its link.
        registry: the plugins of the runtime.
    """

    def __init__(self, plugin: PluginRecord, link: Link, registry: Registry) -> None:
        self._plugin = plugin
        self._link = link
        self._registry = registry

    async def fetch(self, request: Request, limit: int) -> Response:
        """Send a request and return the whole response."""
        self._check()
        observer = self._registry.call_observer
        if observer is None:
            return await self._fetch(request, limit)
        call = observer.begin("", request.path, request.body)
        call.sent_to(self._plugin.name)
        try:
            response = await self._fetch(request, limit)
        except BaseException as error:
            call.failed(error)
            raise
        call.answered(response)
        return response

    async def _fetch(self, request: Request, limit: int) -> Response:
        self._plugin.in_flight += 1
        self._plugin.calls += 1
        try:
            return await self._link.transport.fetch(request, limit)
        except (ExchangeError, LinkError) as error:
            raise await self._plugin.explain(self._link, error) from error
        finally:
            self._plugin.call_ended()

    async def send(self, request: Request) -> StreamingResponse:
        """Send a request and return the response as it arrives."""
        self._check()
        observer = self._registry.call_observer
        if observer is None:
            return await self._send(request)
        call = observer.begin("", request.path, request.body)
        call.sent_to(self._plugin.name)
        return await call.send(self._send(call.counted(request)))

    async def _send(self, request: Request) -> StreamingResponse:
        self._plugin.in_flight += 1
        self._plugin.calls += 1
        try:
            return RoutedResponse(await self._link.transport.send(request), self._plugin, self._link)
        except BaseException as error:
            self._plugin.call_ended()
            if not isinstance(error, ExchangeError | LinkError):
                raise
            raise await self._plugin.explain(self._link, error) from error

    def _check(self) -> None:
        if self._link.closed:
            raise ExchangeError(
                f"the process of plugin {self._plugin.name!r} that had this object has ended, and the object with it: "
                "ask for another",
                sent=False,
            )
