"""Where plugins that a runner starts on another machine join their runtime: automatic mutual TLS.

    expected ──> joined ──> linked ──> over
       │   its token,    │  ^   │       its run ends
       │   once          │  └───┘  it dials again when its link is lost
       └─────────────────┴───────────> over

A runtime has a CA of its own here, for as long as the join point lives, and nobody else trusts it. A plugin is given
the address, the CA's fingerprint and a token in its launch configuration. It makes its key, sends a signing request,
and dials with the certificate that it gets, or with the one that it has renewed that by. The certificate names the one
start that it is for, so that a process of an earlier start does not take its place. (docs/remote.md)
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import ssl
from collections.abc import MutableMapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from plugmux_proto.plugmux.v1.join_connect import JoinService
from plugmux_proto.plugmux.v1.join_pb2 import GetAuthorityRequest, GetAuthorityResponse, JoinRequest, JoinResponse

from ..aio.race import race
from ..connect import App, Code, Context, RpcError
from ..connect.limits import RpcLimits
from ..contract.address import NetworkAddress, parse_address
from ..contract.launch import LaunchConfig
from ..errors import ConfigError
from ..exchange import Receive, Send
from ..http import Server
from ..link.app import HEALTH, HIJACK, answer
from ..network.authority import Authority
from ..network.listener import NetworkListener
from ..network.remote_end import RUNTIME, RemoteEnd
from ..network.tls import TLS
from ..network.tokens import JoinTokens, TokenRefused
from ..runtime.logs.flood import FloodLog

if TYPE_CHECKING:
    from ..link.link import Link
    from ..runtime.logs.log import PluginLog

__all__ = ["JoinPoint", "Joining"]

logger = logging.getLogger("plugmux.runtime")

TRUST_DOMAIN = "plugmux"
LAUNCH = "launch"
LIFETIME = timedelta(hours=24)
OWN_LIFETIME = timedelta(days=365)
EXTRA_TIME = 60.0
"""Seconds that a token is valid beyond the time that the plugin has to register."""

MAX_REQUEST = 32 * 1024
"""Bytes of a message of a peer that has shown no certificate yet."""


class JoinPoint:
    """Listens for plugins that were started elsewhere. One join point may serve many runners and launches.

    It listens as long as it expects a plugin or has one, and its CA lives as long as the object.

    Args:
        listen: where it listens: `tls://0.0.0.0:7445`; with port 0, at a port that the system chooses first.
        address: where plugins dial it; by default `listen`, which must then name a host that they reach.

    Raises:
        ConfigError: an address is not `tls://host:port`, or the package `cryptography` is missing (`plugmux[pki]`).
    """

    def __init__(self, listen: str, address: str = "") -> None:
        self._listen = _tls_address(listen)
        self._dialled = _tls_address(address or listen)
        if self._dialled.host in ("0.0.0.0", "::"):  # noqa: S104 -- it is refused
            raise ConfigError(
                f"no plugin can dial {self._dialled}: give the address at which plugins reach this machine"
            )
        self._authority = Authority.create(TRUST_DOMAIN)
        issued = self._authority.issue(RUNTIME, hosts=[self._dialled.host], lifetime=OWN_LIFETIME)
        self._tls = TLS.in_memory(issued.certificate, issued.key, self._authority.pem)
        self._tls.server_context().verify_mode = ssl.CERT_OPTIONAL  # Who has no certificate may join, and no more.
        self._tokens = JoinTokens()
        self._floods = FloodLog(logger)
        self._expected: dict[str, Joining] = {}
        self._logs: dict[str, PluginLog] = {}
        self._rpc = App([_Service(self)], limits=RpcLimits(receive=MAX_REQUEST))
        self._server: Server | None = None
        self._listener: NetworkListener | None = None
        self._changing = asyncio.Lock()

    @property
    def address(self) -> NetworkAddress:
        """Where plugins dial it; with the port once it listens."""
        return self._dialled._replace(port=self._dialled.port or self._listen.port)

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the CA's certificate."""
        return self._authority.fingerprint

    async def expect(self, name: str, timeout: float, log: PluginLog) -> Joining:
        """Listen for a plugin that is about to be started elsewhere.

        Args:
            name: the plugin's name.
            timeout: seconds for its registration.
            log: is told of what is refused in its name.

        Returns:
            What has the launch configuration; it must be closed.

        Raises:
            ConfigError: it has the name of a runtime, by which plugins would take it for theirs.
            OSError: this cannot listen.
        """
        if name == RUNTIME:
            raise ConfigError(f"the name {name!r} is a runtime's where plugins join; give the plugin another name")
        joining = Joining(self, secrets.token_hex(8), name)
        async with self._changing:
            if self._listener is None:
                server = Server(self._app, lifespan=False)
                listener = NetworkListener(
                    self._listen,
                    self._tls,
                    lambda end: server.protocol(end=end),
                    self._floods.warn,
                    admits_strangers=True,
                )
                await listener.start()
                self._listen = listener.address
                self._server, self._listener = server, listener
            self._expected[joining.id] = joining
        self._logs[joining.id] = log
        while len(self._logs) > 2 * len(self._expected) + KEPT_LOGS:
            del self._logs[next(iter(self._logs))]
        token = self._tokens.issue(joining.id, timeout + EXTRA_TIME)
        joining.config = LaunchConfig(name, timeout, address=str(self.address), token=token, ca=self.fingerprint)
        return joining

    async def forget(self, joining: Joining) -> None:
        """Expect a plugin no more; its certificate is worth nothing from now on."""
        async with self._changing:
            if self._expected.pop(joining.id, None) is None or self._expected:
                return
            server, self._server = self._server, None
            listener, self._listener = self._listener, None
            try:
                if listener is not None:
                    await listener.close()
            finally:
                if server is not None:
                    await server.shutdown(0)
                self._floods.close()

    # -- what is served -----------------------------------------------------------------------------------------------

    async def _app(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path: str = scope["path"]
        end: RemoteEnd = scope["extensions"]["plugmux.connection"]["end"]
        if path.startswith(f"/{JoinService.spec.name}/"):
            await self._rpc(scope, receive, send)
        elif not end.identity:
            await answer(send, 403, b"a client certificate is needed")
        elif path == HEALTH:
            await answer(send, 200, b"ok")
        elif path != HIJACK:
            await answer(send, 404, b"there is /health and /hijack: plugins of this runtime link here")
        elif "plugmux.upgrade" not in scope.get("extensions", {}):
            await answer(send, 426, b"/hijack needs Connection: upgrade and Upgrade: tcp")
        elif (joining := self._of(end)) is None:
            await answer(send, 403, ENDED)
        elif refusal := await joining.link(scope, end):
            await answer(send, *refusal)

    def _of(self, end: RemoteEnd) -> Joining | None:
        """The start that the certificate of a connection is for."""
        id, _, name = end.identity.removeprefix(f"spiffe://{TRUST_DOMAIN}/{LAUNCH}/").partition("/")
        joining = self._expected.get(id)
        return joining if joining is not None and joining.name == name else None

    def authority_pem(self) -> str:
        """The certificate of the CA."""
        return self._authority.pem.decode("ascii")

    def certify(self, token: str, request: bytes, end: RemoteEnd) -> str:
        """A certificate for the key of a signing request, as PEM.

        Args:
            token: the join token; empty to renew the certificate that the connection shows.
            request: PKCS #10, DER.
            end: who asks.

        Raises:
            RpcError: there is none for it.
        """
        if token:
            try:
                joining = self._expected.get(self._tokens.redeem(token))
            except TokenRefused as error:
                self._tell(error, end)
                raise RpcError(Code.PERMISSION_DENIED, str(error)) from None
        else:
            joining = self._of(end)
        if joining is None:
            raise RpcError(Code.PERMISSION_DENIED, "the run that this would be for has ended")
        try:
            return self._authority.sign(
                request, joining.name, LIFETIME, path=f"{LAUNCH}/{joining.id}"
            ).certificate.decode()
        except ConfigError as error:
            self._logs[joining.id].refused(f"no certificate for {end.address}: {error}")
            raise RpcError(Code.INVALID_ARGUMENT, str(error)) from None

    def _tell(self, error: TokenRefused, end: RemoteEnd) -> None:
        log = self._logs.get(error.holder)
        if log is not None:
            log.refused(f"no certificate for {end.address}: {error}")
        else:
            self._floods.warn("token", f"no certificate for {end.address} at {self._listen}: {error}")


ENDED = b"the run that this certificate is for has ended"
KEPT_LOGS = 256
"""Starts that are over and whose tokens are still told apart by the plugin."""


class _Service(JoinService):
    """What a peer without a certificate may call."""

    def __init__(self, point: JoinPoint) -> None:
        self._point = point

    async def get_authority(self, request: GetAuthorityRequest, context: Context) -> GetAuthorityResponse:
        return GetAuthorityResponse(ca_pem=self._point.authority_pem())

    async def join(self, request: JoinRequest, context: Context) -> JoinResponse:
        end = context.connection["end"]
        assert isinstance(end, RemoteEnd)
        return JoinResponse(certificate_pem=self._point.certify(request.token, request.csr, end))


class Joining:
    """One start of a plugin elsewhere, which has not joined yet, or whose link this is.

    Args:
        point: where it joins.
        id: tells it from other starts.
        name: the plugin's name.

    Attributes:
        config: the launch configuration for the plugin, with its token.
    """

    config: LaunchConfig

    def __init__(self, point: JoinPoint, id: str, name: str) -> None:
        self.id = id
        self.name = name
        self._point = point
        self._offered: Link | None = None
        self._offering = asyncio.Event()
        self._link: Link | None = None
        self._dialled_anew = asyncio.Event()
        self._over = asyncio.Event()

    def accept(self, link: Link) -> None:
        """Let the plugin be the other end of a link when it dials next; returns at once."""
        self._offered = link
        self._offering.set()

    async def link(self, scope: MutableMapping[str, Any], end: RemoteEnd) -> tuple[int, bytes] | None:
        """Make the connection of a request the link, and stay until that ends.

        Only the plugin has the key of the certificate: when it dials again it has lost the link before, which this end
        may not know yet.

        Returns:
            The status and the reason where it is no link; `None` where it was.
        """
        self._dialled_anew.set()
        anew = self._dialled_anew = asyncio.Event()
        if self._link is not None:
            self._link.abort()
        await race(self._offering.wait(), self._over.wait(), anew.wait())
        if self._over.is_set():
            return 403, ENDED
        if anew.is_set() or self._offered is None:
            return 503, b"this plugin has dialled anew"
        link, self._offered = self._offered, None
        self._offering.clear()
        self._link = link
        link.peer = link.peer._replace(identity=end.identity, address=end.address)
        try:
            await scope["extensions"]["plugmux.upgrade"](lambda: link.mux, headers=[(b"upgrade", b"tcp")])
            await race(link.wait_closed(), self._over.wait())
        finally:
            link.abort()
            if not link.closed:  # The connection went before it was the link's.
                self.accept(link)
        return None

    async def close(self) -> None:
        """Expect the plugin no more; harmless where that has been done."""
        self._over.set()
        await self._point.forget(self)


def _tls_address(text: str) -> NetworkAddress:
    address = parse_address(text)
    if not isinstance(address, NetworkAddress) or address.scheme != "tls":
        raise ConfigError(f"{text!r} is not an address at which plugins can join: write tls://host:port")
    return address
