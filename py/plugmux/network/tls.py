"""The certificate of this end, its key, and the CAs that are trusted: loaded from files, and anew when these change.

The files may be replaced at any time, as cert-manager, SPIRE's helper and others do. They are looked at when a
connection begins, and by `watch`; a set that can be loaded takes the place of the one before. Links that are open go
on. A set that cannot be loaded, such as a certificate whose key is not there yet, changes nothing and is logged.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from ..errors import ConfigError
from .alerts import AlertingContext
from .identity import UntrustedIdentity, check_pattern, identity_of

__all__ = ["ALPN", "TLS", "OwnCertificate", "unverified_context"]

logger = logging.getLogger("plugmux.network")

ALPN = "plugmux/1"
PROTOCOLS = [ALPN, "http/1.1"]
"""What both ends offer: HTTP/1.1 is for programs such as curl, and for proxies that end TLS."""

LOOK_INTERVAL = 10.0
"""Seconds between two looks at the files."""
MAX_FLIGHTS = 3
"""Turns of each end in a handshake of TLS 1.3, and one more."""

WARN_AGAIN = 24 * 3600.0
LAST_HOUR = 3600.0
FILES = ("tls.crt", "tls.key", "ca.crt")
VARIABLES = ("PLUGMUX_TLS_CERT", "PLUGMUX_TLS_KEY", "PLUGMUX_TLS_CA")
DIRECTORY_VARIABLE = "PLUGMUX_TLS_DIR"
PEERS_VARIABLE = "PLUGMUX_RUNTIME_IDENTITY"


@dataclass(frozen=True, slots=True)
class OwnCertificate:
    """What the certificate of this end says.

    Args:
        identity: its identity; empty where it has none.
        begins: from when it is valid, in seconds since the epoch.
        ends: until when it is valid.
        usage: who may show it: `"servers"`, `"clients"` or `"both"`.
    """

    identity: str
    begins: float
    ends: float
    usage: str

    def __str__(self) -> str:
        return f"{self.identity or 'which names no identity'}, valid from {date(self.begins)} until {date(self.ends)}"


class TLS:
    """How this end shows who it is, and whom it trusts.

    Args:
        cert: path of a PEM file: the certificate, followed by those of the CAs between it and one that peers trust.
        key: path of a PEM file: the key of the certificate.
        ca: path of a PEM file: the CAs that are trusted, one or more.
        peers: patterns of the identities of runtimes that a plugin or a client accepts. By default these are the
            identities whose name is `runtime` and, for who dials, certificates that cover the host that was dialled.
        contexts: an `ssl.SSLContext` for dialling and one for listening, in place of the three files. They must ask
            for TLS 1.3 and for the peer's certificate, and must not compare host names.

    Raises:
        ConfigError: a file is not given or cannot be used, a pattern is not one, or a context is not strict enough.
    """

    def __init__(
        self,
        cert: str | os.PathLike[str] = "",
        key: str | os.PathLike[str] = "",
        ca: str | os.PathLike[str] = "",
        *,
        peers: Iterable[str] = (),
        contexts: tuple[ssl.SSLContext, ssl.SSLContext] | None = None,
    ) -> None:
        self._files = tuple(Path(file) for file in (cert, key, ca) if os.fspath(file))
        self.peers = tuple(map(check_pattern, (peers,) if isinstance(peers, str) else peers))
        self.own: OwnCertificate | None = None
        self._seen: object = None
        self._warned = 0.0
        if contexts is not None:
            if self._files:
                raise ConfigError("TLS takes either the three files or contexts, not both")
            for context in contexts:
                _check_context(context)
            self._client, self._server = contexts
            return
        if len(self._files) != len(FILES):
            raise ConfigError(
                "TLS needs three PEM files: cert, key and ca (PLUGMUX_TLS_CERT, PLUGMUX_TLS_KEY, PLUGMUX_TLS_CA, or "
                "PLUGMUX_TLS_DIR with tls.crt, tls.key and ca.crt)"
            )
        self._seen = self._look()
        try:
            self._load()
        except (OSError, ConfigError) as error:
            raise ConfigError(f"the certificate cannot be used: {error}") from None
        self._warn_near_end()

    @classmethod
    def directory(cls, path: str | os.PathLike[str], *, peers: Iterable[str] = ()) -> Self:
        """The files `tls.crt`, `tls.key` and `ca.crt` of a directory, as cert-manager names them.

        Raises:
            ConfigError: they cannot be used.
        """
        return cls(*(Path(path, name) for name in FILES), peers=peers)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ) -> Self | None:
        """What `PLUGMUX_TLS_CERT`, `_KEY` and `_CA`, `PLUGMUX_TLS_DIR` and `PLUGMUX_RUNTIME_IDENTITY` say.

        Returns:
            `None` where none of the files is named.

        Raises:
            ConfigError: they cannot be used.
        """
        peers = [word.strip() for word in environ.get(PEERS_VARIABLE, "").split(",") if word.strip()]
        directory = environ.get(DIRECTORY_VARIABLE, "")
        files = [
            environ.get(variable) or (os.path.join(directory, name) if directory else "")
            for variable, name in zip(VARIABLES, FILES, strict=True)
        ]
        return cls(*files, peers=peers) if any(files) else None

    @classmethod
    def in_memory(cls, cert: bytes, key: bytes, ca: bytes, *, peers: Iterable[str] = ()) -> Self:
        """A certificate that no file holds, such as one that was got with a join token.

        Args:
            cert: the certificate with its chain, PEM.
            key: its key, PEM.
            ca: the CAs that are trusted, PEM.
            peers: as above.

        Raises:
            ConfigError: they cannot be used.
        """
        return cls(contexts=_contexts_in_memory(cert, key, ca), peers=peers)

    def replace_in_memory(self, cert: bytes, key: bytes, ca: bytes) -> None:
        """Have connections that begin from now on use another certificate; links that are open go on.

        Args:
            cert: as of `in_memory`.
            key: likewise.
            ca: likewise.

        Raises:
            ConfigError: they cannot be used; nothing has changed.
        """
        self._client, self._server = _contexts_in_memory(cert, key, ca)

    @property
    def ca(self) -> str:
        """The file of the CAs, for errors."""
        return str(self._files[2]) if self._files else "the given context"

    def client_context(self) -> ssl.SSLContext:
        """The context to dial with; the files are looked at first."""
        self.refresh()
        return self._client

    def server_context(self) -> ssl.SSLContext:
        """The context to listen with; the files are looked at first."""
        self.refresh()
        return self._server

    async def watch(self) -> None:
        """Look at the files again and again, and warn before the certificate ends; it is cancelled to end it."""
        while True:
            await asyncio.sleep(LOOK_INTERVAL)
            self.refresh()
            self._warn_near_end()

    def refresh(self) -> bool:
        """Load the files if they have changed; whether there is another certificate or CA now."""
        if not self._files:
            return False
        try:
            seen = self._look()
            if seen == self._seen:
                return False
            self._seen = seen
            self._load()
        except (OSError, ConfigError) as error:
            until = f"; the one in use is valid until {date(self.own.ends)}" if self.own is not None else ""
            logger.warning("the certificate was not renewed: %s%s", error, until)
            return False
        logger.info("the certificate was renewed: %s", self.own)
        self._warned = 0.0
        return True

    def _look(self) -> object:
        try:
            return [(at.st_mtime_ns, at.st_ino, at.st_size) for at in map(os.stat, self._files)]
        except OSError as error:
            raise ConfigError(f"{error.filename}: {error.strerror}") from None

    def _load(self) -> None:
        cert, key, ca = self._files
        client, server = _new_context(ssl.PROTOCOL_TLS_CLIENT), _new_context(ssl.PROTOCOL_TLS_SERVER)
        for context in (client, server):
            try:
                context.load_verify_locations(ca)
            except (OSError, ssl.SSLError) as error:
                raise ConfigError(f"{ca} holds no PEM certificates of CAs: {_reason(error)}") from None
            try:
                context.load_cert_chain(cert, key, _no_password)
            except (OSError, ssl.SSLError) as error:
                raise ConfigError(f"{cert} and {key} are not a PEM certificate and its key: {_reason(error)}") from None
        try:
            self.own = _describe(cert, key)
        except ConfigError as error:
            if self.own is not None:  # What is in use is better.
                raise
            logger.warning("peers refuse the certificate: %s", error)
        self._client, self._server = client, server

    def _warn_near_end(self) -> None:
        own, now = self.own, time.time()
        if own is None or now - self._warned < WARN_AGAIN:
            return
        if now >= own.ends:
            logger.warning("the certificate %s has expired: no peer accepts it; renew %s", own, self._files[0])
        elif now < own.begins:
            logger.warning("the certificate %s is not valid yet, by the clock of this machine", own)
        elif own.ends - now < max((own.ends - own.begins) / 3, LAST_HOUR):
            left = (own.ends - now) / 3600
            logger.warning("the certificate %s ends in %.1f h and has not been renewed: %s", own, left, self._files[0])
        else:
            return
        self._warned = now

    def __repr__(self) -> str:
        return f"<TLS {self.own.identity if self.own else 'of given contexts'}>"


def date(seconds: float) -> str:
    """A time for people, in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _new_context(protocol: Any) -> ssl.SSLContext:
    context = AlertingContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # The identity is checked, of which a host name is one kind.
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(PROTOCOLS)
    if protocol == ssl.PROTOCOL_TLS_SERVER:
        context.num_tickets = 0  # A session would outlive the certificate, and the CA that is not trusted any more.
    return context


def _contexts_in_memory(cert: bytes, key: bytes, ca: bytes) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    client, server = _new_context(ssl.PROTOCOL_TLS_CLIENT), _new_context(ssl.PROTOCOL_TLS_SERVER)
    try:
        with _private_file(cert + key) as path:
            for context in (client, server):
                context.load_verify_locations(cadata=ca.decode("ascii"))
                context.load_cert_chain(path, password=_no_password)
    except (OSError, ValueError) as error:  # `ssl.SSLError` is one.
        raise ConfigError(f"the certificate cannot be used: {type(error).__name__}") from None
    return client, server


def unverified_context() -> ssl.SSLContext:
    """A context to dial with that takes any certificate: for a request without a secret whose answer is checked."""
    context = _new_context(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_mode = ssl.CERT_NONE
    return context


def _check_context(context: ssl.SSLContext) -> None:
    if context.verify_mode != ssl.CERT_REQUIRED:
        raise ConfigError("an ssl.SSLContext of TLS does not ask for the peer's certificate: set verify_mode")
    if context.minimum_version != ssl.TLSVersion.TLSv1_3:
        raise ConfigError("an ssl.SSLContext of TLS takes versions before TLS 1.3: set minimum_version")


def _no_password() -> str:
    raise ConfigError("the key is encrypted; give one that is not, with mode 0600")


def _reason(error: OSError) -> str:
    return error.strerror or (error.reason if isinstance(error, ssl.SSLError) else "") or str(error)


def _describe(cert: Path, key: Path) -> OwnCertificate:
    """What the own certificate says: `ssl` decodes those of peers alone, so this end shows it to itself.

    Raises:
        ConfigError: it has expired, or is not valid yet.
    """
    usages, shown, failure = [], {}, ""
    for by_server, usage in ((True, "servers"), (False, "clients")):
        try:
            shown = _show(cert, key, by_server=by_server)
            usages.append(usage)
        except ssl.SSLCertVerificationError as error:
            failure = error.verify_message
    if not usages:
        raise ConfigError(f"{cert}: {failure}")
    try:
        identity = identity_of(shown.get("subjectAltName", ()))
    except UntrustedIdentity:
        identity = ""
    begins, ends = (ssl.cert_time_to_seconds(shown[field]) for field in ("notBefore", "notAfter"))
    return OwnCertificate(identity, begins, ends, "both" if len(usages) > 1 else usages[0])


def _show(cert: Path, key: Path, *, by_server: bool) -> dict[str, Any]:
    """A handshake in memory in which one end shows the certificate and the other trusts it alone.

    Raises:
        SSLCertVerificationError: it may not be shown by that end, or not now.
    """
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    for context in (server, client):
        context.verify_mode = ssl.CERT_NONE
        context.load_cert_chain(cert, key, _no_password)
    checker = client if by_server else server
    checker.verify_mode = ssl.CERT_REQUIRED
    checker.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    checker.load_verify_locations(cert)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (client.wrap_bio(to_client, to_server), server.wrap_bio(to_server, to_client, server_side=True))
    for _ in range(MAX_FLIGHTS):
        for end in ends:
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
    return ends[0 if by_server else 1].getpeercert() or {}


@contextmanager
def _private_file(content: bytes) -> Iterator[str]:
    """The path of a file with some content, for the length of a block, as `ssl` reads keys from a path alone.

    It is in memory where the system has that, and nobody but this user can read it.
    """
    if hasattr(os, "memfd_create") and os.path.isdir("/proc/self/fd"):
        with os.fdopen(os.memfd_create("plugmux"), "wb", buffering=0) as file:
            file.write(content)
            yield f"/proc/self/fd/{file.fileno()}"
        return
    descriptor, path = tempfile.mkstemp()  # with mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        yield path
    finally:
        os.unlink(path)
