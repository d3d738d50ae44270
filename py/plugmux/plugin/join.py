"""How a plugin that a runtime has started on another machine gets its certificate: automatic mutual TLS.

The launch configuration has the fingerprint of the runtime's CA and a token that works once. The plugin asks for the CA
and holds it against the fingerprint; nothing secret has been sent by then. It makes a key, which stays in memory, and
sends a signing request and the token over a connection that this CA vouches for. Connections that begin later use the
certificate that has been renewed: when the link is lost, the plugin dials again.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import ssl
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from plugmux_proto.plugmux.v1.join_connect import JoinClient
from plugmux_proto.plugmux.v1.join_pb2 import GetAuthorityRequest, JoinRequest

from ..aio.closing import end_within
from ..connect import Code, RpcError
from ..connect.limits import RpcLimits
from ..contract.address import NetworkAddress, parse_address
from ..errors import ConfigError, PlugmuxError
from ..http.upgrade import UpgradeRefused
from ..link.client import NetworkClient
from ..link.hijack import dial_link
from ..network.backoff import Backoff
from ..network.connect import ConnectFailed
from ..network.description import fingerprint, x509_module
from ..network.refusal import HandshakeFailed
from ..network.remote_end import RemoteEnd, accept_runtime
from ..network.tls import TLS, date, unverified_context
from .dial import DialError
from .register import RegistrationFailed

if TYPE_CHECKING:
    from ..contract.launch import LaunchConfig
    from .connection import RuntimeConnection

__all__ = ["serve_joined"]

logger = logging.getLogger("plugmux.plugin")

RELINK_TIME = 60.0
"""Seconds that the runtime may be away before a plugin whose link was lost gives up."""

RETRY = 60.0
"""Seconds after which the certificate is tried to be renewed again, and that a renewal may take."""

FORBIDDEN = 403
MAX_ANSWER = 64 * 1024
LIMITS = RpcLimits(receive=MAX_ANSWER)


async def serve_joined(connection: RuntimeConnection, config: LaunchConfig) -> None:
    """Get a certificate, and serve the runtime until it ends the plugin, or cannot be reached again.

    Args:
        connection: the plugin's connection.
        config: the launch configuration.

    Raises:
        ConfigError: the address is not valid, or `cryptography` is not installed (`plugmux[pki]`).
        DialError: the runtime is not reached or is another one, or gives no certificate.
        ConnectFailed: it does not take the link.
        RegistrationFailed: it refuses the plugin.
    """
    address = parse_address(config.address)
    if not isinstance(address, NetworkAddress) or address.scheme != "tls":
        raise ConfigError(f"the launch configuration's address {config.address!r} is not tls://host:port")
    x509_module()
    connection.rename(config.name)
    try:
        async with asyncio.timeout(config.timeout):
            joined = await _join(address, config)
    except TimeoutError:
        raise DialError(f"the runtime at {address} gave no certificate within {config.timeout:g} s") from None
    renewing = asyncio.create_task(joined.renew_in_time(), name="plugmux: renew the certificate")
    try:
        await _keep_linked(connection, joined, config.timeout)
    finally:
        await end_within(0, [renewing])


async def _keep_linked(connection: RuntimeConnection, joined: Joined, timeout: float) -> None:
    """Serve over one link after another. The first must come about; a later one has `RELINK_TIME`."""
    loop, backoff = asyncio.get_running_loop(), Backoff()
    until = 0.0
    while not connection.stopping:
        link, gate = connection.new_link(timeout, str(joined.address))
        try:
            await dial_link(link, joined.address, joined.tls, joined.expect)
            await connection.serve_once(link, gate, timeout)
            backoff, until = Backoff(), loop.time() + RELINK_TIME
        except (ConnectFailed, HandshakeFailed, RegistrationFailed) as error:
            if until and _is_over(error):
                return
            if loop.time() >= until:
                raise
        await connection.pause(backoff.next())


def _is_over(error: PlugmuxError) -> bool:
    """Whether the runtime has answered that the run of this plugin has ended."""
    cause = error.__cause__
    return isinstance(cause, UpgradeRefused) and cause.status == FORBIDDEN


class Joined:
    """The certificate of a plugin that has joined, and how it is renewed.

    Args:
        address: where the runtime is.
        ca: its CA, PEM.
        key: the key of the certificate, PEM.
        certificate: the certificate, PEM.

    Attributes:
        expect: raises `UntrustedIdentity` where the other end is not the runtime.

    Raises:
        ConfigError: they cannot be used.
    """

    def __init__(self, address: NetworkAddress, ca: str, key: bytes, certificate: str) -> None:
        self.address = address
        self.tls = TLS.in_memory(certificate.encode(), key, ca.encode())
        self.expect = _expect_runtime(address)
        self._ca = ca
        self._certificate = certificate

    async def renew_in_time(self) -> None:
        """Renew the certificate whenever two thirds of its life are over; it is cancelled to end it."""
        retry = 0.0
        while True:
            begins, ends = _life_of(self._certificate)
            await asyncio.sleep(max(_renewal_due(begins, ends, time.time()), retry))
            try:
                async with asyncio.timeout(RETRY):
                    await self.renew()
                retry = 0.0
            except (PlugmuxError, TimeoutError) as error:
                logger.warning("the certificate was not renewed: %s; it is valid until %s", error, date(ends))
                retry = RETRY

    async def renew(self) -> None:
        """Get another certificate, for another key, over a connection that shows the present one.

        Raises:
            RpcError: the runtime gives none.
            ConfigError: it cannot be used.
        """
        key, request = _signing_request()
        client = JoinClient(NetworkClient(self.address, self.tls, expect=self.expect), limits=LIMITS)
        certificate = (await client.join(JoinRequest(csr=request))).certificate_pem
        self.tls.replace_in_memory(certificate.encode(), key, self._ca.encode())
        self._certificate = certificate


async def _join(address: NetworkAddress, config: LaunchConfig) -> Joined:
    ca = await _authority(address, config.ca)
    key, request = _signing_request()
    checking = ssl.create_default_context(cadata=ca)
    checking.minimum_version = ssl.TLSVersion.TLSv1_3
    checking.check_hostname = False  # Who it is says its identity.
    client = JoinClient(NetworkClient(address, None, context=checking, expect=_expect_runtime(address)), limits=LIMITS)
    try:
        response = await client.join(JoinRequest(token=config.token, csr=request))
        return Joined(address, ca, key, response.certificate_pem)
    except (RpcError, ConfigError) as error:
        raise DialError(f"the runtime at {address} gave this plugin no certificate: {error}") from error


async def _authority(address: NetworkAddress, expected: str) -> str:
    """The CA of the runtime, PEM. Nothing secret is sent, so that it is asked until it answers.

    Only the certificate of the fingerprint is returned: an impostor's answer may hold that one and its own behind it.
    """
    client = JoinClient(NetworkClient(address, None, context=unverified_context(), expect=_expect_any), limits=LIMITS)
    backoff = Backoff()
    while True:
        try:
            answer = (await client.get_authority(GetAuthorityRequest())).ca_pem
            pem = ssl.DER_cert_to_PEM_cert(ssl.PEM_cert_to_DER_cert(answer))
            came = fingerprint(pem.encode())
            break
        except RpcError as error:
            if error.code is not Code.UNAVAILABLE:
                raise DialError(f"the runtime at {address} did not name its CA: {error}") from error
        except ValueError as error:
            raise DialError(f"the runtime at {address} did not name its CA: its answer holds no certificate") from error
        await asyncio.sleep(backoff.next())
    if not hmac.compare_digest(came, expected):
        raise DialError(
            f"the runtime at {address} is not the one that launched this plugin: its CA is {came}, and the launch "
            f"names {expected}"
        )
    return pem


def _signing_request() -> tuple[bytes, bytes]:
    """A new key, as PEM, and a signing request for it, as DER."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    x509: Any = x509_module()
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), request.public_bytes(Encoding.DER)


def _life_of(certificate: str) -> tuple[float, float]:
    """From when and until when a certificate is valid, in seconds since the epoch."""
    try:
        found = x509_module().load_pem_x509_certificate(certificate.encode())
    except ValueError:
        raise ConfigError("what the runtime gave holds no certificate") from None
    return found.not_valid_before_utc.timestamp(), found.not_valid_after_utc.timestamp()


def _renewal_due(begins: float, ends: float, now: float) -> float:
    """Seconds that a certificate is kept. By a clock ahead of the runtime's, each new one is due or over at once."""
    left = ends - now
    return max(begins + (ends - begins) * 2 / 3 - now, min(left / 10, RETRY) if left > 0 else RETRY)


def _expect_any(end: RemoteEnd) -> None:
    """What it tells is held against the fingerprint."""


def _expect_runtime(address: NetworkAddress) -> Callable[[RemoteEnd], None]:
    """The CA of the fingerprint signs for every plugin that the runtime starts, and none of them is the runtime."""
    return lambda end: accept_runtime(end, (), address.host)
