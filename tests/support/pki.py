"""Certificates for tests: a CA, and directories with certificates of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from plugmux.network.authority import Authority, save
from plugmux.network.tls import TLS

__all__ = ["Pki"]


class Pki:
    """A CA, and certificates of it in directories.

    Args:
        folder: where the directories are made.
        trust_domain: of the SPIFFE ids.
    """

    def __init__(self, folder: Path, trust_domain: str = "test") -> None:
        self.folder = folder
        self.authority = Authority.create(trust_domain)

    def directory(
        self,
        name: str,
        *,
        hosts: Iterable[str] = ("127.0.0.1", "localhost"),
        lifetime: timedelta = timedelta(days=2),
        usages: Sequence[str] = ("servers", "clients"),
        ca: bytes | None = None,
        at: str = "",
        begins: datetime | None = None,
    ) -> Path:
        """The directory with a certificate of that name; what was there is replaced.

        Args:
            name: the last segment of its identity.
            hosts: what else it is for.
            lifetime: how long it is valid.
            usages: who may show it.
            ca: what it trusts; by default this CA.
            at: the name of the directory, where it is another.
            begins: from when it is valid.
        """
        directory = self.folder / (at or name)
        issued = self.authority.issue(name, hosts=hosts, lifetime=lifetime, usages=usages, begins=begins)
        save(issued, ca or self.authority.pem, directory)
        return directory

    def tls(self, name: str, *, peers: Iterable[str] = ()) -> TLS:
        """The settings of one that has a certificate of that name."""
        return TLS.directory(self.directory(name), peers=peers)
