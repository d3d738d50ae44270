"""A plugin's connection to its runtime: over one link, or over one after another.

    connecting ──> registering ──> serving ──> ended

A launched plugin has one link, which it inherited, and ends with it; one on another machine dials anew with the
certificate that it has joined with. A plugin that starts by itself dials the runtime's
socket, and dials again with a growing delay when the runtime goes away.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from contextvars import ContextVar
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from plugmux_proto.plugins.v1.plugins_connect import PluginService
from plugmux_proto.plugins.v1.plugins_pb2 import RegisterPluginRequest, ShutdownRequest, ShutdownResponse

from ..aio.local_peer import PeerUsers
from ..aio.race import race
from ..contract.address import Address
from ..contract.launch import LaunchConfig
from ..contract.registration import REGISTRATION_TIMEOUT, Registration
from ..errors import ConfigError, SessionClosed
from ..exchange import (
    ClientTransport,
    FastPathCall,
    Receive,
    Request,
    RequestHead,
    Response,
    Scope,
    Send,
    StreamingResponse,
)
from ..link.app import Gate, LinkApp
from ..link.link import Link, Peer
from ..link.peer_process import ends_with_process, peer_pid
from .dial import DialError, connect, dial
from .orphan import RuntimeWatch
from .register import RegistrationFailed, register

if TYPE_CHECKING:
    from ..connect import Context
    from ..yamux import Config
    from .configuration import Configured

__all__ = ["OnLink", "OneOfSeveralApp", "PluginControl", "RuntimeConnection"]

FIRST_REDIAL = 0.2
MAX_REDIAL = 10.0
PLUGIN_DRAIN_TIME = 10.0
"""Seconds that calls under way are given when the plugin ends, unless the runtime closes the link before.

It is longer than a runtime waits by itself, so that the host decides: how long its calls may take is its own to know.
"""
DETACHED_REDIAL = 1.0
"""The longest delay, in seconds, between two attempts of a detached plugin to reach its next runtime."""

OnLink: TypeAlias = Callable[[Link, Gate], AbstractAsyncContextManager[None]]


class RuntimeConnection:
    """Connects a plugin to its runtime, registers it, and serves until either end stops.

    Args:
        announcement: what the plugin registers with.
        make_app: makes the app that a link of a connection serves; requests wait at its gate until the plugin has
            registered.
        lifespan: gives the context manager that is entered before each registration and left before the link closes.
        configured: takes the configuration that comes with the registration; `None` where the plugin takes it as JSON.
        mux: the settings of each link's mux.
        peer_users: the users whose runtime the plugin connects to.

    Attributes:
        registration: what the plugin registers with, checked; under the name that its runtime has given it.
        configuration_json: the configuration that came with the last registration.
        protocol_version: the version of the application's protocol that the runtime has chosen; 0 before.
        process_id: tells this process from others of the plugin's name.
        runtime_id: tells the runtime that it registered with last from others; empty before.
        prints_stacks: whether SIGQUIT prints the stacks of this process, which the registration tells.
        watch: tells when the runtime's process has ended; `None` where nothing watches it.
        link: the present link, or the last; `None` before the first.
        transport: carries calls to the runtime over whichever link is the present one.
    """

    def __init__(
        self,
        announcement: RegisterPluginRequest,
        make_app: Callable[[Gate, RuntimeConnection], LinkApp],
        lifespan: Callable[[], AbstractAsyncContextManager[object]],
        *,
        configured: Configured[Any] | None = None,
        mux: Config | None = None,
        peer_users: PeerUsers,
    ) -> None:
        self._announcement = announcement
        self._make_app = make_app
        self._lifespan = lifespan
        self._configured = configured
        self._mux = mux
        self._peer_users = peer_users
        self._on_link: list[OnLink] = []
        self._links: list[Link] = []  # all that are up, of those that `another` has made as well
        self._origin = self
        self._stopping = asyncio.Event()
        self._left = asyncio.Event()
        self._shutting_down: asyncio.Task[Any] | None = None
        self.registration = Registration.from_request(announcement)
        self.configuration_json = ""
        self.protocol_version = 0
        self.process_id = os.urandom(8).hex()
        self.runtime_id = ""
        self.prints_stacks = False
        self.watch: RuntimeWatch | None = None
        self.link: Link | None = None
        self.transport: ClientTransport = _CurrentLink(self)

    def on_link(self, enter: OnLink) -> None:
        """Enter a context manager on each further link; it is left before the link closes.

        Args:
            enter: called with the link and its gate, which opens when the plugin has registered.
        """
        self._on_link.append(enter)

    def another(self) -> RuntimeConnection:
        """One more connection of the same plugin; what it learns, this one knows as well."""
        other = copy(self)
        other._origin = self
        other._stopping, other._left, other._shutting_down = asyncio.Event(), asyncio.Event(), None
        return other

    def is_of(self, origin: RuntimeConnection) -> bool:
        """Whether it is the connection of a plugin, or one more of it."""
        return self._origin is origin

    @property
    def is_one_of_several(self) -> bool:
        """Whether the plugin may have links to other runtimes as well."""
        return self._origin is not self

    def stop(self) -> None:
        """Close the present link in order, and open no other."""
        self._stopping.set()

    @property
    def stopping(self) -> bool:
        """Whether it has been asked to stop."""
        return self._stopping.is_set()

    async def wait_stopping(self) -> None:
        """Wait until it is asked to stop."""
        await self._stopping.wait()

    async def shutdown(self) -> None:
        """Stop, and wait until all context managers of the link have been left; a handler of the link calls it."""
        self._shutting_down = asyncio.current_task()
        self.stop()
        await self._left.wait()

    def rename(self, name: str) -> None:
        """Register under the name that the runtime has given."""
        self._announcement.name = name
        self.registration = replace(self.registration, name=name)

    async def serve_launched(self, config: LaunchConfig) -> None:
        """Serve the runtime of this machine that launched the process; a detached plugin also serves those after it.

        Raises:
            DialError: the launch names a socket, and nothing listens there.
            RegistrationFailed: the runtime refused the plugin, or went away.
        """
        self.rename(config.name)
        if config.detached:
            await self._reconnect_loop(lambda link: self._connect(link, config), config.timeout, DETACHED_REDIAL)
            return
        link, gate = self.new_link(config.timeout)
        if config.socket:
            await self._connect(link, config)
            with ends_with_process(link, peer_pid(link)):
                await self.serve_once(link, gate, config.timeout)
            return
        if config.is_pipe_pair:
            await link.over_pipes(config.read_fd, config.write_fd)
        else:
            await link.over_socket(socket.socket(fileno=config.read_fd))
        await self.serve_once(link, gate, config.timeout)

    async def serve_dialed(self, address: Address) -> None:
        """Serve the runtime that listens at an address, and reconnect whenever it has gone away, until `stop`.

        Raises:
            DialError: there was no runtime at the first attempt, or it is another user's.
            RegistrationFailed: the runtime refused the plugin at the first attempt.
        """
        await self._reconnect_loop(
            lambda link: dial(address, lambda: link.mux, users=self._peer_users), REGISTRATION_TIMEOUT, MAX_REDIAL
        )

    async def serve_link(self, connect: Callable[[Link], Awaitable[None]], name: str, timeout: float) -> None:
        """Serve one runtime over a link that the caller connects. (`Plugin.serve_link`)"""
        self._stopping, self._left, self._shutting_down = asyncio.Event(), asyncio.Event(), None
        self.rename(name)
        link, gate = self.new_link(timeout)
        await connect(link)
        await self.serve_once(link, gate, timeout)

    async def _connect(self, link: Link, config: LaunchConfig) -> None:
        await link.over_socket(await connect(config.socket, config.timeout, self._peer_users))

    async def _reconnect_loop(
        self, connect: Callable[[Link], Awaitable[None]], timeout: float, longest_delay: float
    ) -> None:
        delay, served = FIRST_REDIAL, False
        while not self._stopping.is_set():
            link, gate = self.new_link(timeout)
            try:
                await connect(link)
                with ends_with_process(link, peer_pid(link)):
                    await self.serve_once(link, gate, timeout)
                delay, served = FIRST_REDIAL, True
            except (DialError, RegistrationFailed):
                if not served:
                    raise
            import random  # a launched plugin needs none

            await self.pause(delay * random.uniform(0.5, 1.0))  # noqa: S311 -- jitter, not a secret
            delay = min(delay * 2, longest_delay)

    def new_link(self, timeout: float, address: str = "") -> tuple[Link, Gate]:
        """A link to a runtime, not connected yet, and the gate of its app.

        Args:
            timeout: seconds that a request waits at most for the registration.
            address: the runtime's address in the network; empty on this machine.
        """
        gate, config = Gate(timeout), self._mux
        if address:
            from ..link.hijack import network_config

            config = network_config(config)
        peer = Peer("the runtime", address=address)
        return Link(self._make_app(gate, self), initiator=True, peer=peer, config=config), gate

    async def serve_once(self, link: Link, gate: Gate, timeout: float) -> None:
        """Register over a link that is connected, and serve until either end stops.

        Raises:
            RegistrationFailed: the runtime refused the plugin, or went away.
            ConfigError: the plugin cannot take the configuration that the runtime has for it.
        """
        request = RegisterPluginRequest()
        request.CopyFrom(self._announcement)
        request.prints_stacks = self.prints_stacks
        request.process_id = self.process_id
        self.link = self._origin.link = link
        self._links.append(link)
        self._left.clear()
        async with link:
            if self.watch is not None:
                self.watch.on_death(asyncio.get_running_loop(), link.abort)
            try:
                await link.startup()
                async with AsyncExitStack() as entered:
                    for enter in self._on_link:
                        await entered.enter_async_context(enter(link, gate))
                    await entered.enter_async_context(self._lifespan())
                    await race(self._register(link, request, timeout), self._stopping.wait())
                    if not self._stopping.is_set():
                        gate.open()
                        await self._until_over(link)
                    await link.drain(PLUGIN_DRAIN_TIME, but=self._shutting_down)
            finally:
                self._left.set()
                self._links.remove(link)
                if self._links:
                    self._origin.link = self._links[-1]

    async def _register(self, link: Link, request: RegisterPluginRequest, timeout: float) -> None:
        response = await register(link, request, timeout)
        self._origin.configuration_json = self.configuration_json = response.configuration_json
        self._origin.protocol_version = self.protocol_version = response.protocol_version
        self.runtime_id = response.runtime_id
        link.debug = response.debug
        if self._configured is not None:
            self._take_configuration(self._configured, link)

    def _take_configuration(self, configured: Configured[Any], link: Link) -> None:
        try:
            configured.take(self.configuration_json)
        except ConfigError:
            link.abort()  # An answer to any request would make the runtime believe that the plugin works.
            raise

    async def _until_over(self, link: Link) -> None:
        await race(link.wait_closed(), self._stopping.wait())
        if self.watch is not None and not self._stopping.is_set():
            await self.watch.settle()

    async def pause(self, seconds: float) -> None:
        """Wait, or return at once when it is asked to stop."""
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            pass


class PluginControl(PluginService):
    """The service by which the runtime shuts the plugin down; every plugin serves it.

    Args:
        connection: the plugin's connection.
    """

    def __init__(self, connection: RuntimeConnection) -> None:
        self._connection = connection

    async def shutdown(self, request: ShutdownRequest, context: Context) -> ShutdownResponse:
        await self._connection.shutdown()
        return ShutdownResponse()


_serving: ContextVar[RuntimeConnection | None] = ContextVar("serving", default=None)
"""The connection whose runtime has made the call that is being served; set where a plugin may have several."""


class OneOfSeveralApp(LinkApp):
    """What a plugin serves to one of several runtimes: what its handlers call goes back to that one."""

    def __init__(self, connection: RuntimeConnection, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._connection = connection

    def fast_path(self, head: RequestHead) -> FastPathCall | None:
        _serving.set(self._connection)  # The handler's task begins in this context.
        return super().fast_path(head)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        _serving.set(self._connection)
        await super().__call__(scope, receive, send)


class _CurrentLink:
    """A transport to the runtime that made the call which is being served; elsewhere to the one linked last."""

    def __init__(self, connection: RuntimeConnection) -> None:
        self._connection = connection

    def _transport(self) -> ClientTransport:
        serving = _serving.get()
        link = self._connection.link if serving is None or not serving.is_of(self._connection) else serving.link
        if link is None:
            raise SessionClosed(
                "the plugin is not linked to a runtime yet; call the host from a handler, or from `lifespan`"
            )
        return link.transport

    async def fetch(self, request: Request, limit: int) -> Response:
        return await self._transport().fetch(request, limit)

    async def send(self, request: Request) -> StreamingResponse:
        return await self._transport().send(request)
