"""A server of names for tests: dnsmasq at the bridge's address, whose names change while it runs."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import dns.asyncresolver
import dns.exception

from network.namespaces import PATIENCE, Network

ALONE = ("--keep-in-foreground", "--no-resolv", "--no-hosts", "--bind-interfaces", "--conf-file=/dev/null")


class Names:
    """Names and their addresses, served to every host of a network.

    Args:
        net: on whose gateway the server listens.
        folder: for its table of names.
        services: SRV records, each as `service,name,port`.
    """

    def __init__(self, net: Network, folder: Path, services: list[str]) -> None:
        self._net = net
        self._table = folder / "hosts"
        self._services = services

    async def start(self, **addresses: list[str]) -> None:
        """Start the server, and wait until it answers: a program that still starts is ended by the signals below."""
        self._write(addresses)
        served = (f"--listen-address={self._net.gateway}", "--local-ttl=0", f"--addn-hosts={self._table}")
        services = [f"--srv-host={service}" for service in self._services]
        self._process = self._net.start(None, "dnsmasq", "--user=root", *ALONE, *served, *services)
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers = [self._net.gateway]
        async with asyncio.timeout(PATIENCE):
            while not self._process.ended:
                try:
                    await resolver.resolve(f"{next(iter(addresses))}.test", lifetime=1)
                    return
                except dns.exception.DNSException:
                    await asyncio.sleep(0.05)
        raise AssertionError(f"dnsmasq has ended: {self._process.said}")

    def set(self, **addresses: list[str]) -> None:
        """Serve these names of the zone `test`, and no others."""
        self._write(addresses)
        self._process.send(signal.SIGHUP)

    def pause(self) -> None:
        """Answer nothing until `resume`."""
        self._process.send(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send(signal.SIGCONT)

    def _write(self, addresses: dict[str, list[str]]) -> None:
        lines = (f"{address} {name}.test\n" for name, each in addresses.items() for address in each)
        self._table.write_text("".join(lines))
