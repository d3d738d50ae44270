"""Client transports: a stream of a mux, or a connection of its own, for each request."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar, cast

from ..aio.local_peer import PeerUsers, UntrustedPeer, connect_trusted
from ..aio.pipes import open_stream
from ..contract.address import Address
from ..contract.registration import SAID_NAME
from ..errors import ConfigError, ExchangeError
from ..exchange import Request, Response
from .exchange import BufferedExchange, RoundTrip, StreamingExchange
from .fields import CHUNKED, CLOSE, content_length, encode_fields, request_line
from .heads import HeadCache

if TYPE_CHECKING:
    from urllib.parse import SplitResult

__all__ = ["Open", "SocketClient", "StreamClient"]

Open: TypeAlias = Callable[[Any], asyncio.Transport]
"""Opens a stream, at once, for what has the methods of an `asyncio.Protocol`: `mux.open`."""

AnyTrip = TypeVar("AnyTrip", bound=RoundTrip)

STREAM_HOST = b"host: unix\r\n"
DEFAULT_PORTS = {"http": 80, "https": 443}


class StreamClient:
    """Sends each request on a stream of its own (an `exchange.ClientTransport`).

    Args:
        open: opens a stream for a protocol, as `mux.open` does; `LinkError`s of it reach the caller.

    The request goes out in one write. This end stays open until the response is complete, since its end would tell the
    peer that the caller has gone. Cancelling a call resets its stream. (docs/wire.md section 1.)
    """

    def __init__(self, open: Open) -> None:
        self._open = open
        self._cache = HeadCache()

    async def fetch(self, request: Request, limit: int) -> Response:
        """Send the request and return its whole response.

        Args:
            request: the request.
            limit: bytes of body that the caller accepts.

        Raises:
            BodyTooLarge: the response's body passes the limit.
            ConfigError: the request holds what cannot be sent.
            ExchangeError: the stream broke, or the peer's response is not valid HTTP.
            LinkError: no stream could be opened.
            TimeoutError: `request.timeout` has run out.
        """
        head = encode_head(request, STREAM_HOST)
        trip = BufferedExchange(request, self._cache, limit)
        trip.start(self._open(trip), head, request.timeout)
        return await trip.response()

    async def send(self, request: Request) -> StreamingExchange:
        """Send the request and return its response as soon as the head is there, while its body may still be sent.

        Args:
            request: the request; its timeout counts to the end of the response's body.

        Raises:
            ConfigError: the request holds what cannot be sent.
            ExchangeError: the stream broke, or the peer's response is not valid HTTP.
            LinkError: no stream could be opened.
            TimeoutError: `request.timeout` has run out.
        """
        head = encode_head(request, STREAM_HOST)
        trip = StreamingExchange(request, self._cache)
        trip.start(self._open(trip), head, request.timeout)
        return await trip.receive_head()


class SocketClient:
    """Sends each request on a connection of its own (an `exchange.ClientTransport`).

    Args:
        address: `unix:/path`, `unix:@abstract` (Linux), `http://host:port` or `https://host:port`.
        ssl_context: for `https`; by default, the system's certificates and full verification.
        peer_users: names or numbers of users whose unix sockets are trusted, besides this process' own and root; those
            that `PLUGMUX_PEER_USERS` names count as well.
        plugin: where a runtime listens: the plugin that is meant, by its name. It is needed where several serve the
            service that is called; the header `plugmux-plugin` tells it.

    Raises:
        ConfigError: the address is not of these forms, or there is no such user, or `plugin` is no plugin's name.
    """

    def __init__(
        self,
        address: str,
        *,
        ssl_context: ssl.SSLContext | None = None,
        peer_users: Iterable[str | int] = (),
        plugin: str | None = None,
    ) -> None:
        self._address = address
        self._cache = HeadCache()
        self._connect, self._host = _connector(address, ssl_context, PeerUsers(peer_users))
        self._name_plugin(plugin)

    def _name_plugin(self, plugin: str | None) -> None:
        """Have every request name the plugin that is meant.

        Raises:
            ConfigError: it is no plugin's name.
        """
        if plugin is not None:
            if not SAID_NAME.fullmatch(plugin):
                raise ConfigError(f"SocketClient: plugin is {plugin!r}, which cannot be a plugin's name")
            self._host += b"plugmux-plugin: %s\r\n" % plugin.encode()

    async def fetch(self, request: Request, limit: int) -> Response:
        """Connect, send the request and return its whole response; as `StreamClient.fetch`.

        Raises:
            ExchangeError: as there; with `sent` false if the connection could not be opened.
        """
        head = encode_head(request, self._host)
        async with asyncio.timeout(request.timeout):
            transport, trip = await self._opened(BufferedExchange(request, self._cache, limit))
            trip.start(transport, head, None)
            return await trip.response()

    async def send(self, request: Request) -> StreamingExchange:
        """Connect, send the request and return its response as soon as its head is there; as `StreamClient.send`.

        Raises:
            ExchangeError: as there; with `sent` false if the connection could not be opened.
        """
        head = encode_head(request, self._host)
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.timeout(request.timeout):
            transport, trip = await self._opened(StreamingExchange(request, self._cache))
        rest = None if request.timeout is None else began + request.timeout - loop.time()
        trip.start(transport, head, rest)
        return await trip.receive_head()

    async def _opened(self, trip: AnyTrip) -> tuple[asyncio.Transport, AnyTrip]:
        try:
            return await self._connect(cast("asyncio.Protocol", trip)), trip
        except (OSError, UntrustedPeer) as error:
            raise ExchangeError(f"cannot connect to {self._address}: {error}", sent=False) from error


def encode_head(request: Request, host: bytes, length: int | None = None) -> bytes:
    """The head of a request, with its blank line.

    Args:
        request: the request.
        host: the Host field's line.
        length: bytes of an asynchronous body, if they are known; without, it is sent in chunks.

    Raises:
        ConfigError: the method, the target or a header field cannot be sent.
    """
    body = request.body
    if not isinstance(body, bytes):
        framing = CHUNKED if length is None else content_length(length)
    elif body or request.method not in ("GET", "HEAD"):
        framing = content_length(len(body))
    else:
        framing = b""
    return b"".join(
        (request_line(request.method, request.path), host, CLOSE, encode_fields(request.headers), framing, b"\r\n")
    )


class _Connect(Protocol):
    async def __call__(self, protocol: asyncio.BaseProtocol) -> asyncio.Transport: ...


def _connector(address: str, ssl_context: ssl.SSLContext | None, users: PeerUsers) -> tuple[_Connect, bytes]:
    """A function that connects to an address, and the Host field for it."""
    scheme = address.partition(":")[0]
    if scheme in ("unix", "pipe"):
        name = Address.parse(address).sockaddr

        async def connect_local(protocol: asyncio.BaseProtocol) -> asyncio.Transport:
            sock = await connect_trusted(name, users, address)
            transport, _ = await open_stream(lambda: protocol, sock)
            return transport

        return connect_local, b"host: localhost\r\n"
    url = _split(address)
    host, port = str(url.hostname), url.port or DEFAULT_PORTS[scheme]
    context = None if scheme == "http" else ssl_context or ssl.create_default_context()

    async def connect_tcp(protocol: asyncio.BaseProtocol) -> asyncio.Transport:
        transport, _ = await asyncio.get_running_loop().create_connection(lambda: protocol, host, port, ssl=context)
        return transport

    return connect_tcp, encode_fields([(b"host", url.netloc.encode("ascii"))])


def _split(address: str) -> SplitResult:
    """The parts of an `http` or `https` address that names a host, perhaps a port, and nothing else."""
    from urllib.parse import urlsplit

    try:
        url = urlsplit(address)
        port = url.port
    except ValueError:
        url, port = urlsplit(""), None
    whole = f"{url.scheme}://{url.netloc}"
    if url.scheme not in DEFAULT_PORTS or not url.hostname or port == 0 or address not in (whole, f"{whole}/"):
        raise ConfigError(
            f"the address {address!r} is not valid: write unix:/path, unix:@name, pipe:NAME, http://host:port or https://host:port"
        )
    if "@" in url.netloc or not url.netloc.isascii():
        raise ConfigError("an address holds no user, and its host is written in ASCII")
    return url
