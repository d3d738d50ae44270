"""The client transport of a runtime: each request goes to the plugin that serves it.

This is the one place that every call of the host passes on its way to a plugin.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from ..errors import ExchangeError, LinkError
from ..exchange import Complete, Headers, Incoming, Request
from ..link import Link
from .error import PluginError
from .hosted import HostedPlugin
from .registry import Registry

__all__ = ["Router"]


class Router:
    """A `ClientTransport` over all plugins of a runtime.

    Args:
        registry: the plugins.
        plugin: the name of the one plugin to call; by default the request's service decides.
    """

    def __init__(self, registry: Registry, plugin: str | None = None) -> None:
        self._registry = registry
        self._plugin = plugin

    def to(self, plugin: str | None, service: str) -> Router:
        """The router for one plugin of those that list a service, `None` for whichever it is.

        Raises:
            ExchangeError: there is no such plugin, or it does not list the service.
        """
        if plugin is None:
            return self
        try:
            said = self._registry.named(plugin).registration
        except PluginError as error:
            raise ExchangeError(str(error), sent=False) from error
        if said is None or service not in said.services:
            raise ExchangeError(f"plugin {plugin!r} does not serve {service}", sent=False)
        return Router(self._registry, plugin)

    def choose(self, path: str) -> HostedPlugin:
        """The plugin that a request for `path` goes to.

        Raises:
            PluginError: there is none.
        """
        if self._plugin is not None:
            return self._registry.named(self._plugin)
        return self._registry.serving(path[1:].partition("/")[0])

    async def _link(self, request: Request) -> tuple[HostedPlugin, Link]:
        try:
            plugin = self.choose(request.path)
            link = plugin.link
            if link is None or link.closed:
                async with asyncio.timeout(request.timeout):
                    link = await plugin.running()
        except PluginError as error:
            raise ExchangeError(str(error), sent=False) from error
        return plugin, link

    async def fetch(self, request: Request, limit: int) -> Complete:
        """Send a request to its plugin and return the whole response."""
        plugin, link = await self._link(request)
        plugin.in_flight += 1
        try:
            return await link.transport.fetch(request, limit)
        except (ExchangeError, LinkError) as error:
            raise await plugin.explain(link, error) from error
        finally:
            plugin.in_flight -= 1

    async def send(self, request: Request) -> Incoming:
        """Send a request to its plugin and return the response as it arrives."""
        plugin, link = await self._link(request)
        plugin.in_flight += 1
        try:
            return _Routed(await link.transport.send(request), plugin, link)
        except BaseException as error:
            plugin.in_flight -= 1
            if isinstance(error, ExchangeError | LinkError):
                raise await plugin.explain(link, error) from error
            raise


class _Routed:
    """A response under way, which counts as in flight until it is closed."""

    def __init__(self, incoming: Incoming, plugin: HostedPlugin, link: Link) -> None:
        self._incoming = incoming
        self._plugin = plugin
        self._link = link
        self._open = True

    @property
    def status(self) -> int:
        return self._incoming.status

    @property
    def headers(self) -> Headers:
        return self._incoming.headers

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._incoming:
                yield chunk
        except (ExchangeError, LinkError) as error:
            raise await self._plugin.explain(self._link, error) from error
        finally:
            self._ended()

    async def aclose(self) -> None:
        self._ended()
        await self._incoming.aclose()

    def _ended(self) -> None:
        if self._open:
            self._open = False
            self._plugin.in_flight -= 1
