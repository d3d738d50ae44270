"""The places that an address stands for: one, or as many as a name has, which come and go.

`tls+dns://` stands for all addresses of a name, `tls+srv://` for what its SRV records name. The name is looked up again
when the records' time to live is over. An address that appears is followed, one that has gone is left. A resolver that
fails changes nothing. Names are looked up by dnspython (`plugmux[dns]`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ..aio.closing import end_within
from ..contract.address import NetworkAddress
from ..errors import ConfigError, PlugmuxError

__all__ = ["LookupFailed", "Place", "Places", "look_up_by_dns"]

MIN_INTERVAL = 1.0
MAX_INTERVAL = 30.0
"""Seconds between two look-ups at least, whatever the records say, and at most."""

LOOKUP_TIME = 5.0
MAX_PLACES = 256
"""Addresses of one name that are followed."""


class LookupFailed(PlugmuxError):
    """A name could not be looked up."""


@dataclass(frozen=True, slots=True)
class Place:
    """One address to dial.

    Args:
        address: a `tls://` or `tcp://` address.
        host_name: the name that its certificate may be held against.
        priority: of its SRV record: the lowest is used first.
        weight: of its SRV record: its share among those of its priority.
    """

    address: NetworkAddress
    host_name: str = ""
    priority: int = field(default=0, compare=False)
    weight: int = field(default=1, compare=False)


Lookup: TypeAlias = Callable[[NetworkAddress], Awaitable[tuple[Collection[Place], float]]]
Keep: TypeAlias = Callable[[Place, asyncio.Event], Coroutine[Any, Any, None]]


class Places:
    """The places of one address.

    Args:
        address: the address.
        look_up: gives the places of an address that is looked up, and the seconds for which they hold.
    """

    def __init__(self, address: NetworkAddress, look_up: Lookup | None = None) -> None:
        self._address = address
        self._look_up = look_up or look_up_by_dns

    async def follow(
        self,
        keep: Keep,
        until: Coroutine[Any, Any, object],
        tell: Callable[[str], None],
        found: Callable[[Place], None] = lambda place: None,
    ) -> None:
        """Run one task for each place, as long as there is that place; what one raises is raised, and ends the others.

        Args:
            keep: what the task does: called with the place, and an event at which it ends in order.
            until: ends it all.
            tell: is told of a look-up that has failed.
            found: is told of each place that a look-up has found, after its task has begun: its priority and its weight
                may be others than before.
        """
        ending = asyncio.create_task(until)
        running: dict[Place, asyncio.Event] = {}
        tasks: set[asyncio.Task[None]] = set()
        try:
            if self._address.is_looked_up:
                await self._look_up_again_and_again(keep, ending, tell, found, running, tasks)
            else:
                _adjust(running, tasks, [Place(self._address, self._address.host)], keep)
                await asyncio.wait([ending, *tasks], return_when=asyncio.FIRST_COMPLETED)
                _take_ended(tasks)
            _adjust(running, tasks, (), keep)
            if tasks:
                await asyncio.wait(tasks)
                _take_ended(tasks)
        finally:
            ending.cancel()
            await end_within(0, tasks)

    async def _look_up_again_and_again(
        self,
        keep: Keep,
        ending: asyncio.Task[object],
        tell: Callable[[str], None],
        on_found: Callable[[Place], None],
        running: dict[Place, asyncio.Event],
        tasks: set[asyncio.Task[None]],
    ) -> None:
        loop = asyncio.get_running_loop()
        while not ending.done():
            looking = asyncio.ensure_future(self._look_up(self._address))
            try:
                await asyncio.wait([looking, ending], return_when=asyncio.FIRST_COMPLETED)
                if ending.done():
                    return
                found, interval = looking.result()
                _adjust(running, tasks, found, keep)
                for place in found:
                    on_found(place)
            except LookupFailed as error:
                tell(f"{error}; what was found before stands")
                interval = MAX_INTERVAL if running else MIN_INTERVAL
            finally:
                looking.cancel()
            until = loop.time() + min(max(interval, MIN_INTERVAL), MAX_INTERVAL)
            while not ending.done() and (left := until - loop.time()) > 0:
                await asyncio.wait([ending, *tasks], timeout=left, return_when=asyncio.FIRST_COMPLETED)
                _take_ended(tasks)


def _adjust(
    running: dict[Place, asyncio.Event], tasks: set[asyncio.Task[None]], found: Collection[Place], keep: Keep
) -> None:
    """Begin with the places that are new, and have the tasks of those that have gone end."""
    for place in [place for place in running if place not in found]:
        running.pop(place).set()
    for place in found:
        if place not in running and len(running) < MAX_PLACES:
            leave = running[place] = asyncio.Event()
            task = asyncio.create_task(keep(place, leave), name=f"plugmux: {place.address}")
            tasks.add(task)


def _take_ended(tasks: set[asyncio.Task[None]]) -> None:
    """Forget the tasks that have ended, and raise what one has raised."""
    ended = [task for task in tasks if task.done()]
    tasks.difference_update(ended)
    for task in ended:
        task.result()


async def look_up_by_dns(address: NetworkAddress) -> tuple[Collection[Place], float]:
    """The places of a name, and the seconds until they are to be looked up again.

    Raises:
        LookupFailed: the resolver has not answered, or knows no such name.
        ConfigError: dnspython is not installed.
    """
    try:
        import dns.asyncresolver
        import dns.exception
        import dns.resolver
    except ImportError:
        raise ConfigError(f"{address} is looked up with the package dnspython: pip install 'plugmux[dns]'") from None
    try:
        resolver = dns.asyncresolver.Resolver()
        resolver.lifetime = LOOKUP_TIME
        if address.scheme == "tls+srv":
            return await _look_up_services(resolver, address)
        hosts, ttl = await _addresses(resolver, address.host)
    except (dns.exception.DNSException, OSError) as error:
        raise LookupFailed(f"{address} could not be looked up: {_reason(error)}") from error
    return [Place(NetworkAddress("tls", host, address.port), address.host) for host in hosts], ttl


async def _look_up_services(resolver: Any, address: NetworkAddress) -> tuple[Collection[Place], float]:
    from dns.resolver import NXDOMAIN

    records = await resolver.resolve(address.host, "SRV", search=True)
    ttl, found = records.rrset.ttl if records.rrset is not None else MAX_INTERVAL, []
    missing: NXDOMAIN | None = None
    for record in records:
        target = str(record.target).rstrip(".").lower()
        if not target:
            continue  # RFC 2782: a root target means that the service is not offered.
        try:
            hosts, host_ttl = await _addresses(resolver, target)
        except NXDOMAIN as error:  # Its machine has gone, and the record has not yet; the others stand.
            missing = error
            continue
        ttl = min(ttl, host_ttl)
        found += [
            Place(NetworkAddress("tls", host, record.port), address.server_name, record.priority, record.weight)
            for host in hosts
        ]
    if missing is not None and not found:
        raise missing
    best: dict[Place, Place] = {}  # Several records may lead to one address.
    for place in sorted(found, key=lambda place: place.priority):
        best.setdefault(place, place)
    return list(best.values()), float(ttl)


async def _addresses(resolver: Any, host: str) -> tuple[list[str], float]:
    """All addresses of a host; those of one kind where a server refuses to tell the other."""
    kinds = [resolver.resolve(host, kind, search=True, raise_on_no_answer=False) for kind in ("A", "AAAA")]
    answers = await asyncio.gather(*kinds, return_exceptions=True)
    sets = [answer.rrset for answer in answers if not isinstance(answer, BaseException)]
    known = [records for records in sets if records is not None]
    failed = next((answer for answer in answers if isinstance(answer, BaseException)), None)
    if not known and failed is not None:
        raise failed
    hosts = sorted({record.address for records in known for record in records})
    return hosts, float(min((records.ttl for records in known), default=MAX_INTERVAL))


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text[:200] or type(error).__name__
