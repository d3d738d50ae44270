"""Listens in the network: a connection is served when its handshake is done, and until then costs little.

    accepted ──> silent ──> waiting ──> handshaking ──> served
                   │                         │
                   └─────────────────────────┴──> closed, with its reason told

A connection that is silent or waits has no TLS state and no buffers. Of those that are silent, and of those that
handshake, there are only so many: one more silent connection ends the oldest. Who has spoken waits for a handshake to
end, so that many plugins that come at once are served one after the other. Who has waited for `QUEUE_TIME`, or
is the oldest of more than `MAX_WAITING`, waits no more, and the oldest handshake ends. So a port scan, or connections
that are opened and left, keep nobody out. Of those that are served, each identity has so many (`OpenConnections`), and
where there are no identities, each address.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, cast

from ..aio.closing import end_within
from ..aio.forks import lose_in_children
from ..contract.address import NetworkAddress
from ..errors import ConfigError
from ..platform import ReadWatch, accept_some, descriptor_limit, own_port
from ..platform.accepting import ACCEPTED_AT_ONCE, NO_DESCRIPTOR_PAUSE, OpenConnections
from .alerts import alerts_by
from .proxy_header import IPNetwork, ProxyHeader, ProxyHeaderError, is_within
from .refusal import HandshakeFailed, handshake_refusal
from .remote_end import RemoteEnd, shown_address, tune

if TYPE_CHECKING:
    from .tls import TLS

__all__ = ["NetworkListener"]

BACKLOG = 1024
MAX_SILENT = 256
"""Connections that may be open and have said nothing."""

MAX_HANDSHAKES = 128
"""Handshakes that may go on at the same time."""

MAX_WAITING = 512
QUEUE_TIME = 2.0
"""Connections that may wait for their handshake to begin, and seconds for each."""

FIRST_BYTE_TIME = 5.0
HANDSHAKE_TIME = 5.0
"""Seconds for a connection's first byte, and for its handshake."""

MAX_STRANGERS = 64
STRANGER_TIME = 10.0
"""Connections at the same time of those who have shown no certificate, and seconds for each."""

TLS_HANDSHAKE = 0x16
"""The first byte of a TLS connection."""

PLAIN_ANSWER = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 20\r\n\r\nthis port wants TLS\n"


class NetworkListener:
    """Listens at an address in the network.

    Args:
        address: where; port 0 has the system choose one.
        tls: the certificate of this end; not needed for `tcp://`.
        serve: makes the protocol of a connection whose handshake is done. It decides what a peer without an identity
            is told.
        report: is told of a connection that was refused: a word for its kind, and a line.
        admits_strangers: whether the context of `tls` lets those in who show no certificate. They have
            `STRANGER_TIME`, and there are at most `MAX_STRANGERS` of them: one more ends the oldest.
        proxies: the networks of proxies that begin each connection with a header of the PROXY protocol, version 2.

    Raises:
        ConfigError: the address cannot be listened at, or there is no certificate.

    Attributes:
        address: where it listens; with the port once it does.
    """

    def __init__(
        self,
        address: NetworkAddress,
        tls: TLS | None,
        serve: Callable[[RemoteEnd], asyncio.Protocol],
        report: Callable[[str, str], None],
        *,
        admits_strangers: bool = False,
        proxies: Collection[IPNetwork] = (),
    ) -> None:
        if address.is_looked_up:
            raise ConfigError(f"{address} is to be dialled: listen at tls://0.0.0.0:port, or tls://[::]:port")
        if address.is_secure and tls is None:
            raise ConfigError(
                f"{address} needs a certificate: set PLUGMUX_TLS_DIR, or PLUGMUX_TLS_CERT, PLUGMUX_TLS_KEY and "
                "PLUGMUX_TLS_CA, or give TLS(...), or Host(tls=TLS(...))"
            )
        self.address = address
        self._tls = tls if address.is_secure else None
        self._serve = serve
        self._report = report
        self._context = self._tls.server_context if self._tls is not None else None
        self._admits_strangers = admits_strangers
        self._proxies = proxies
        self._headers: dict[socket.socket, ProxyHeader] = {}
        self._strangers: dict[asyncio.Transport, asyncio.TimerHandle] = {}
        self._served: OpenConnections[str, asyncio.Transport] = OpenConnections(
            lambda transport: not transport.is_closing(), descriptor_limit()
        )
        self._sockets: list[socket.socket] = []
        self._silent: dict[socket.socket, asyncio.TimerHandle] = {}
        self._watches: dict[socket.socket, ReadWatch] = {}
        self._waiting: dict[socket.socket, tuple[str, asyncio.TimerHandle]] = {}
        self._handshakes: dict[asyncio.Task[None], None] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to listen.

        Raises:
            OSError: it cannot.
        """
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(
            self.address.host, self.address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        port = self.address.port
        try:
            for family, _, _, _, where in dict.fromkeys(found):
                sock = _bind(family, (where[0], port, *where[2:]))
                self._sockets.append(sock)
                port = port or sock.getsockname()[1]
        except BaseException:
            self._close_sockets()
            raise
        self.address = self.address._replace(port=port)
        lose_in_children(self)
        self._tasks = [
            asyncio.create_task(self._accept(sock), name=f"plugmux: listen at {self.address}") for sock in self._sockets
        ]
        if self._tls is not None:
            self._tasks.append(asyncio.create_task(self._tls.watch(), name="plugmux: watch certificates"))

    def descriptors(self) -> list[int]:
        """The descriptors of the listening sockets."""
        return [sock.fileno() for sock in self._sockets]

    async def close(self) -> None:
        """Stop listening, and end what has not been served; harmless where it does not listen."""
        tasks, self._tasks = self._tasks, []
        self._drop_waiting()
        for sock in tuple(self._silent):  # Before anything is awaited: who speaks now begins no handshake.
            self._drop(sock)
        try:
            await end_within(0, [*tasks, *self._handshakes, *self._ending])
        finally:
            for transport in tuple(self._strangers):
                self._end_stay(transport)
            self._close_sockets()

    def _drop_waiting(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for sock, (_, timer) in waiting.items():
            timer.cancel()
            sock.close()

    def _close_sockets(self) -> None:
        for sock in self._sockets:
            sock.close()
        self._sockets = []

    async def _accept(self, sock: socket.socket) -> None:
        while True:
            try:
                for connection, peername in await accept_some(sock, ACCEPTED_AT_ONCE):
                    self._take(connection, peername)
            except OSError as error:
                # Out of descriptors, as a rule: the connection waits in the backlog until some are free.
                self._report("accept", f"cannot accept at {self.address}: {error}")
                await asyncio.sleep(NO_DESCRIPTOR_PAUSE)

    def _take(self, connection: socket.socket, peername: object) -> None:
        """Wait for the first byte of a connection."""
        if not self._tasks:  # It is being closed.
            connection.close()
            return
        connection.setblocking(False)
        read = self._speaks
        if self._proxies and is_within(peername, self._proxies):
            self._headers[connection] = ProxyHeader()
            read = self._read_header
        timer = asyncio.get_running_loop().call_later(FIRST_BYTE_TIME, self._drop, connection)
        self._silent[connection] = timer
        self._watches[connection] = ReadWatch(connection, partial(read, connection, shown_address(peername)))
        if len(self._silent) > MAX_SILENT:
            self._drop(next(iter(self._silent)))

    def _drop(self, connection: socket.socket) -> None:
        self._forget(connection)
        connection.close()

    def _read_header(self, connection: socket.socket, where: str) -> None:
        """Read what a proxy says of a connection; what comes behind it is as from any other."""
        header = self._headers[connection]
        try:
            data = connection.recv(header.wanted)
            if data:
                header.feed(data)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        except ProxyHeaderError as error:
            self._report("proxy", f"refused a connection of the proxy {where} at {self.address}: {error}")
            data = b""
        if not data:
            self._drop(connection)
        elif not header.wanted:
            source = where if header.source is None else shown_address(header.source)
            self._watches.pop(connection).close()
            self._watches[connection] = ReadWatch(connection, partial(self._speaks, connection, source))

    def _forget(self, connection: socket.socket) -> None:
        self._headers.pop(connection, None)
        self._silent.pop(connection).cancel()
        self._watches.pop(connection).close()

    def _speaks(self, connection: socket.socket, where: str) -> None:
        """Begin the handshake of a connection that has said something, or let it wait for that."""
        try:
            first = connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return
        except OSError:
            first = b""
        if not first:
            self._drop(connection)  # A look whether somebody listens.
            return
        self._forget(connection)
        if self._context is not None and first[0] != TLS_HANDSHAKE:
            self._report("no TLS", f"refused a connection of {where} at {self.address}: it does not speak TLS")
            with suppress(OSError):
                connection.send(PLAIN_ANSWER)
            connection.close()
            return
        if len(self._handshakes) < MAX_HANDSHAKES:
            self._begin_handshake(connection, where)
            return
        timer = asyncio.get_running_loop().call_later(QUEUE_TIME, self._begin_longest_waiting)
        self._waiting[connection] = (where, timer)
        if len(self._waiting) > MAX_WAITING:
            self._begin_longest_waiting()

    def _begin_longest_waiting(self) -> None:
        connection = next(iter(self._waiting))
        where, timer = self._waiting.pop(connection)
        timer.cancel()
        self._begin_handshake(connection, where)

    def _begin_handshake(self, connection: socket.socket, where: str) -> None:
        task = asyncio.create_task(self._shake_hands(connection, where), name=f"plugmux: handshake with {where}")
        self._handshakes[task] = None
        task.add_done_callback(self._handshake_ended)
        # One that is cancelled before its first turn closes nothing itself.
        task.add_done_callback(lambda task: connection.close() if task.cancelled() else None)
        if len(self._handshakes) > MAX_HANDSHAKES:
            oldest = next(iter(self._handshakes))
            del self._handshakes[oldest]
            self._ending.add(oldest)
            oldest.cancel()

    def _handshake_ended(self, task: asyncio.Task[None]) -> None:
        self._handshakes.pop(task, None)
        self._ending.discard(task)
        if self._waiting and len(self._handshakes) < MAX_HANDSHAKES:
            self._begin_longest_waiting()

    async def _shake_hands(self, connection: socket.socket, where: str) -> None:
        context = self._context() if self._context is not None else None
        handshaken = _Handshaken(lambda transport: self._serve_peer(transport, where))
        try:
            with alerts_by(connection.send):
                await asyncio.get_running_loop().connect_accepted_socket(
                    lambda: handshaken,
                    connection,
                    ssl=context,
                    ssl_handshake_timeout=HANDSHAKE_TIME if context is not None else None,
                )
        except asyncio.CancelledError:
            if handshaken.transport is not None:  # It has been done, and this task was not told yet.
                handshaken.transport.abort()
            else:
                connection.close()
            raise
        except (OSError, TimeoutError) as error:  # `ssl.SSLError` is one.
            connection.close()
            told: HandshakeFailed = handshake_refusal(where, error, self._tls, by_server=False)
            self._report(str(told).partition(": ")[2], f"refused a connection at {self.address}: {told}")
        except BaseException:
            connection.close()
            raise

    def _serve_peer(self, transport: asyncio.Transport, where: str) -> asyncio.Protocol:
        """The protocol of a connection whose handshake is done."""
        end = replace(RemoteEnd.of(transport), address=where)
        who = end.identity or where.rpartition(":")[0]
        if not self._served.add(who, transport):
            most = f"{who} has {self._served.most} open, which is as many as one may have"
            self._report("too many", f"refused a connection of {where} at {self.address}: {most}")
            transport.abort()
            return asyncio.Protocol()
        if self._admits_strangers and not end.shown:
            self._bound(transport)
        return self._serve(end)

    def _bound(self, transport: asyncio.Transport) -> None:
        """Let a stranger stay for a while, if there are not too many."""
        self._strangers[transport] = asyncio.get_running_loop().call_later(STRANGER_TIME, self._end_stay, transport)
        if len(self._strangers) > MAX_STRANGERS:
            self._end_stay(next(iter(self._strangers)))

    def _end_stay(self, transport: asyncio.Transport) -> None:
        self._strangers.pop(transport).cancel()
        transport.abort()


class _Handshaken(asyncio.Protocol):
    """The protocol of a connection until its handshake is done and the other end is known."""

    def __init__(self, begin: Callable[[asyncio.Transport], asyncio.Protocol]) -> None:
        self._begin = begin
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not by isinstance: uvloop's transports are no subclasses of asyncio's.
        self.transport = stream = cast("asyncio.Transport", transport)
        tune(stream)
        protocol = self._begin(stream)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)


def _bind(family: int, where: Sequence[object]) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        own_port(sock)
        if family == socket.AF_INET6:
            both = where[0] == "::"  # It takes IPv4 connections as well.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if both else 1)
        sock.bind(tuple(where))
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock
