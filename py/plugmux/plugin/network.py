"""A plugin's links over a network: it dials every runtime that it is told of, or listens for runtimes.

Each address has a loop of its own, which dials from the first time on with growing delays, and gives up only when the
plugin stops. (docs/remote.md)
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, MutableMapping, Sequence
from contextlib import suppress
from typing import Any, Self

from ..aio.closing import end_within
from ..aio.race import race
from ..contract.address import NetworkAddress, is_network, parse_address
from ..contract.registration import REGISTRATION_TIMEOUT
from ..errors import ConfigError, PlugmuxError
from ..exchange import Receive, Send
from ..http import Server
from ..link.app import HEALTH, HIJACK, answer
from ..link.hijack import dial_link
from ..link.link import Link
from ..network.backoff import Backoff
from ..network.identity import UntrustedIdentity
from ..network.listener import NetworkListener
from ..network.places import Place, Places
from ..network.remote_end import RemoteEnd, accept_runtime
from ..network.tls import TLS
from .connection import RuntimeConnection

__all__ = ["NetworkLinks"]

MAX_RUNTIMES = 64
"""Runtimes that a listening plugin serves at the same time."""

REMIND = 60.0
"""Seconds after which a failure is logged again that goes on unchanged."""

MAX_KINDS = 16
"""Kinds of refusals that are told of in that time."""

END_TIME = 15.0
"""Seconds that links are given to end in order: calls under way have ten."""


class NetworkLinks:
    """Where a plugin meets runtimes on other machines.

    Args:
        listen: the address to listen at; `None` to dial.
        addresses: the addresses to dial.
        tls: the certificate of this end; `None` for `tcp://` alone.

    Attributes:
        resting: addresses that are not dialled now, since another leads to the same runtime.
    """

    def __init__(self, listen: NetworkAddress | None, addresses: Sequence[NetworkAddress], tls: TLS | None) -> None:
        self._listen = listen
        self._addresses = addresses
        self._tls = tls
        self._told = _FailureLog()
        self._connections: list[RuntimeConnection] = []
        self.resting = 0

    @classmethod
    def parse(cls, listen: str, dial: str, tls: TLS | None) -> Self:
        """Read what a plugin is told.

        Args:
            listen: the address to listen at, or nothing.
            dial: the addresses to dial, separated by commas; not read where it listens.
            tls: the certificate; by default that of the environment.

        Raises:
            ConfigError: an address is not valid, or there is no certificate for it.
        """
        texts = [listen] if listen else [word.strip() for word in dial.split(",")]
        addresses = [_network(text) for text in texts]
        if any(address.is_secure for address in addresses):
            tls = tls or TLS.from_environ()
            if tls is None:
                raise ConfigError(
                    f"{texts[0]} needs a certificate: set PLUGMUX_TLS_DIR, or PLUGMUX_TLS_CERT, PLUGMUX_TLS_KEY and "
                    "PLUGMUX_TLS_CA"
                )
        if listen:
            return cls(addresses[0], (), tls)
        return cls(None, addresses, tls)

    async def serve(self, origin: RuntimeConnection) -> None:
        """Serve runtimes until the plugin stops.

        Args:
            origin: the plugin's connection, of which each link has another.

        Raises:
            ConfigError: the address cannot be listened at.
        """
        if self._listen is not None:
            await _Listener(self._listen, self._tls, origin).serve()
            return
        tasks = [asyncio.create_task(self._dial(origin, address)) for address in self._addresses]
        watching = asyncio.create_task(self._tls.watch()) if self._tls is not None else None
        try:
            await asyncio.gather(*tasks)
        finally:
            if watching is not None:
                watching.cancel()
            await end_within(0, tasks)

    async def _dial(self, origin: RuntimeConnection, address: NetworkAddress) -> None:
        """Keep a link to every place of an address."""
        await Places(address).follow(
            lambda place, leave: self._keep_linked(origin, place, leave),
            origin.wait_stopping(),
            self._told.at(str(address)),
        )

    async def _keep_linked(self, origin: RuntimeConnection, place: Place, leave: asyncio.Event) -> None:
        """Keep a link to one runtime until it is to leave; its calls under way end before."""
        backoff, tell = Backoff(), self._told.at(str(place.address))
        loop = asyncio.get_running_loop()
        connection = origin.another()
        self._connections.append(connection)
        stopping = asyncio.create_task(_stop_at(leave, connection))
        try:
            while not connection.stopping:
                await self._rest(connection)
                began = loop.time()
                try:
                    why = await self._serve_once(connection, place)
                except PlugmuxError as error:
                    tell(f"{error}; tries again")
                else:
                    backoff.served(loop.time() - began)
                    if not connection.stopping:
                        tell(f"{place.address}: the link to the runtime has ended: {why}; connects again")
                if not connection.stopping:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(backoff.next()):
                            await connection.wait_stopping()
        finally:
            stopping.cancel()
            self._connections.remove(connection)

    async def _rest(self, connection: RuntimeConnection) -> None:
        """Wait while another address has a link to the same runtime, which has taken the place of this one."""
        while not connection.stopping and (link := self._link_beside(connection)) is not None:
            self.resting += 1
            try:
                await race(link.wait_closed(), connection.wait_stopping())
            finally:
                self.resting -= 1

    def _link_beside(self, connection: RuntimeConnection) -> Link | None:
        for other in self._connections:
            same = other is not connection and connection.runtime_id and other.runtime_id == connection.runtime_id
            if same and other.link is not None and not other.link.closed:
                return other.link
        return None

    async def _serve_once(self, connection: RuntimeConnection, place: Place) -> str:
        """Serve over one link; why it has ended."""
        link, gate = connection.new_link(REGISTRATION_TIMEOUT, str(place.address))

        def expect(end: RemoteEnd) -> None:
            accept_runtime(end, self._tls.peers if self._tls is not None else (), place.host_name)

        await dial_link(link, place.address, self._tls, expect, host_name=place.host_name)
        await connection.serve_once(link, gate, REGISTRATION_TIMEOUT)
        return str(link.reason or "the runtime has closed it")


class _Listener:
    """Serves the runtimes that dial a plugin, each over a link of its own."""

    def __init__(self, address: NetworkAddress, tls: TLS | None, origin: RuntimeConnection) -> None:
        self._origin = origin
        self._peers = tls.peers if tls is not None else ()
        self._told = _FailureLog()
        self._server = Server(self._app, lifespan=False)
        self._runtimes = 0
        self._listener = NetworkListener(address, tls, self._serve, self._told.report)

    async def serve(self) -> None:
        """Listen until the plugin stops.

        Raises:
            ConfigError: the address cannot be listened at.
        """
        try:
            await self._listener.start()
        except OSError as error:
            raise ConfigError(f"cannot listen at {self._listener.address}: {error.strerror}") from None
        say(f"listens at {self._listener.address}")
        try:
            await self._origin.wait_stopping()
        finally:
            await self._listener.close()
            await self._server.shutdown(END_TIME)

    def _serve(self, end: RemoteEnd) -> asyncio.Protocol:
        return self._server.protocol(end=end)

    async def _app(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        end: RemoteEnd = scope["extensions"]["plugmux.connection"]["end"]
        if scope["path"] == HEALTH:
            await answer(send, 200, b"ok")
        elif scope["path"] != HIJACK:
            await answer(send, 404, b"there is /health and /hijack: a runtime links to this plugin")
        elif "plugmux.upgrade" not in scope.get("extensions", {}):
            await answer(send, 426, b"/hijack needs Connection: upgrade and Upgrade: tcp")
        elif self._runtimes >= MAX_RUNTIMES:
            await answer(send, 503, b"as many runtimes are linked to this plugin as there may be")
        else:
            try:
                if scope["scheme"] == "https":
                    accept_runtime(end, self._peers)
            except UntrustedIdentity as error:
                self._told.report(str(error), f"refused a runtime at {end.address}: {error}")
                await answer(send, 403, str(error).encode())
                return
            await self._link(scope, end)

    async def _link(self, scope: MutableMapping[str, Any], end: RemoteEnd) -> None:
        connection = self._origin.another()
        link, gate = connection.new_link(REGISTRATION_TIMEOUT, end.address)
        link.peer = link.peer._replace(identity=end.identity)
        self._runtimes += 1
        try:
            await scope["extensions"]["plugmux.upgrade"](lambda: link.mux, headers=[(b"upgrade", b"tcp")])
            serving = asyncio.create_task(connection.serve_once(link, gate, REGISTRATION_TIMEOUT))
            try:
                await race(asyncio.wait([serving]), self._origin.wait_stopping())
                connection.stop()
                await serving
            except PlugmuxError as error:
                self._told.report(str(error), f"{end.address}: {error}")
            finally:
                await end_within(0, [serving])
        finally:
            self._runtimes -= 1
            link.abort()
            await link.close(0)


def say(text: str) -> None:
    """Print what a plugin without a runtime has to tell: there is nobody yet who takes its log."""
    print(f"plugmux: {text}", file=sys.stderr, flush=True)


class _FailureLog:
    """Tells of failures that come again and again: of each when it is new, and then once a minute."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[str, float]] = {}
        self._reported: dict[str, float] = {}

    def at(self, where: str) -> Callable[[str], None]:
        """What tells of failures at an address."""

        def tell(text: str) -> None:
            now = asyncio.get_running_loop().time()
            last, when = self._last.get(where, ("", 0.0))
            if text != last or now - when >= REMIND:
                self._last[where] = (text, now)
                say(text)

        return tell

    def report(self, kind: str, text: str) -> None:
        """Tell of what strangers can cause as often as they like: of each kind once a minute, and of few kinds."""
        now = asyncio.get_running_loop().time()
        for told in [told for told, when in self._reported.items() if now - when >= REMIND]:
            del self._reported[told]
        if kind not in self._reported and len(self._reported) < MAX_KINDS:
            self._reported[kind] = now
            say(text)


async def _stop_at(leave: asyncio.Event, connection: RuntimeConnection) -> None:
    await leave.wait()
    connection.stop()


def _network(text: str) -> NetworkAddress:
    if not is_network(text):
        raise ConfigError(f"{text!r} stands among addresses in the network, and is none: write tls://host:port")
    address = parse_address(text)
    assert isinstance(address, NetworkAddress)
    return address
