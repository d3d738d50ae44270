"""How a plugin that a runtime has started on another machine gets its certificate: automatic mutual TLS.

The launch configuration has the fingerprint of the runtime's CA and a token that works once. The plugin asks for the CA
and holds it against the fingerprint; nothing secret has been sent by then. It makes a key, which stays in memory, and
sends a signing request and the token over a connection that this CA vouches for.
"""

from __future__ import annotations

import asyncio
import hmac
import ssl
from typing import TYPE_CHECKING, Any

from plugmux_proto.plugmux.v1.join_connect import JoinClient
from plugmux_proto.plugmux.v1.join_pb2 import GetAuthorityRequest, JoinRequest

from ..connect import Code, RpcError
from ..connect.limits import RpcLimits
from ..contract.address import NetworkAddress, parse_address
from ..errors import ConfigError
from ..link.client import NetworkClient
from ..link.hijack import dial_link
from ..network.backoff import Backoff
from ..network.description import fingerprint, x509_module
from ..network.remote_end import RemoteEnd
from ..network.tls import TLS, unverified_context
from .dial import DialError

if TYPE_CHECKING:
    from ..contract.launch import LaunchConfig
    from ..link.link import Link

__all__ = ["dial_joined"]

MAX_ANSWER = 64 * 1024
LIMITS = RpcLimits(receive=MAX_ANSWER)


async def dial_joined(link: Link, config: LaunchConfig) -> None:
    """Get a certificate, and connect a link to the runtime with it.

    Args:
        link: the link.
        config: the launch configuration.

    Raises:
        ConfigError: the address is not valid, or `cryptography` is not installed (`plugmux[pki]`).
        DialError: the runtime is not reached or is another one, or gives no certificate.
        ConnectFailed: it does not take the link.
    """
    address = parse_address(config.address)
    if not isinstance(address, NetworkAddress) or address.scheme != "tls":
        raise ConfigError(f"the launch configuration's address {config.address!r} is not tls://host:port")
    x509_module()
    try:
        async with asyncio.timeout(config.timeout):
            tls = await _join(address, config)
    except TimeoutError:
        raise DialError(f"the runtime at {address} gave no certificate within {config.timeout:g} s") from None
    await dial_link(link, address, tls, _expect_any)


async def _join(address: NetworkAddress, config: LaunchConfig) -> TLS:
    ca = await _authority(address, config.ca)
    key, request = _signing_request()
    checking = ssl.create_default_context(cadata=ca)
    checking.minimum_version = ssl.TLSVersion.TLSv1_3
    checking.check_hostname = False  # The fingerprint has decided.
    client = JoinClient(NetworkClient(address, None, context=checking, expect=_expect_any), limits=LIMITS)
    try:
        response = await client.join(JoinRequest(token=config.token, csr=request))
        return TLS.in_memory(response.certificate_pem.encode(), key, ca.encode())
    except (RpcError, ConfigError) as error:
        raise DialError(f"the runtime at {address} gave this plugin no certificate: {error}") from error


async def _authority(address: NetworkAddress, expected: str) -> str:
    """The CA of the runtime, PEM. Nothing secret is sent, so that it is asked until it answers."""
    client = JoinClient(NetworkClient(address, None, context=unverified_context(), expect=_expect_any), limits=LIMITS)
    backoff = Backoff()
    while True:
        try:
            pem = (await client.get_authority(GetAuthorityRequest())).ca_pem
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


def _expect_any(end: RemoteEnd) -> None:
    """The CA that has signed its certificate is that of the fingerprint, and signs for this runtime alone."""
