"""The places that SRV records name: their priorities and weights, and changes of these."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

import dns.resolver
import dns.rrset
import pytest

from plugmux.contract.address import NetworkAddress
from plugmux.network.places import Place, Places, _look_up_services

ADDRESS = NetworkAddress.parse("tls+srv://_plugmux._tcp.kv.example")


class Answer:
    def __init__(self, rrset: dns.rrset.RRset) -> None:
        self.rrset = rrset

    def __iter__(self) -> Any:
        return iter(self.rrset)


class Resolver:
    """Gives what dnspython gives for some records."""

    def __init__(self, *services: str) -> None:
        self._services = dns.rrset.from_text("_plugmux._tcp.kv.example.", 60, "IN", "SRV", *services)

    async def resolve(self, name: str, kind: str, **options: Any) -> Answer:
        if kind == "SRV":
            return Answer(self._services)
        if name.startswith("gone"):
            raise dns.resolver.NXDOMAIN
        address = {"A": f"10.0.0.{name[1]}", "AAAA": f"fd00::{name[1]}"}[kind]
        return Answer(dns.rrset.from_text(name, 20, "IN", kind, address))


async def test_records_give_ports_priorities_and_weights() -> None:
    found, ttl = await _look_up_services(Resolver("10 5 7444 h2.", "0 3 7445 H1.", "0 0 0 ."), ADDRESS)
    assert ttl == 20
    assert [(str(place.address), place.priority, place.weight) for place in found] == [
        ("tls://10.0.0.1:7445", 0, 3),
        ("tls://[fd00::1]:7445", 0, 3),
        ("tls://10.0.0.2:7444", 10, 5),
        ("tls://[fd00::2]:7444", 10, 5),
    ]
    assert {place.host_name for place in found} == {"kv.example"}


async def test_of_two_records_for_one_address_the_lower_priority_counts() -> None:
    found, _ = await _look_up_services(Resolver("10 5 7444 h1.", "2 3 7444 h1."), ADDRESS)
    assert [(place.priority, place.weight) for place in found] == [(2, 3), (2, 3)]


async def test_a_target_that_is_gone_hides_no_other() -> None:
    found, _ = await _look_up_services(Resolver("0 0 7444 h1.", "0 0 7444 gone.", "0 0 7444 h2."), ADDRESS)
    assert {place.address.host for place in found} == {"10.0.0.1", "fd00::1", "10.0.0.2", "fd00::2"}
    with pytest.raises(dns.resolver.NXDOMAIN):
        await _look_up_services(Resolver("0 0 7444 gone."), ADDRESS)


async def test_a_change_of_a_weight_is_told_and_begins_nothing_anew() -> None:
    place = NetworkAddress("tls", "10.0.0.1", 7444)
    answers = [[Place(place, "kv.example", 0, 1)], [Place(place, "kv.example", 5, 9)]]
    begun: list[Place] = []
    told: list[tuple[int, int]] = []
    over = asyncio.Event()

    async def look_up(address: NetworkAddress) -> tuple[Collection[Place], float]:
        return answers[min(len(told), 1)], 0.0

    async def keep(place: Place, leave: asyncio.Event) -> None:
        begun.append(place)
        await leave.wait()

    def found(place: Place) -> None:
        told.append((place.priority, place.weight))
        if len(told) == 2:
            over.set()

    await asyncio.wait_for(Places(ADDRESS, look_up).follow(keep, over.wait(), lambda why: None, found), 60)
    assert told == [(0, 1), (5, 9)]
    assert len(begun) == 1


@pytest.mark.parametrize("address", [ADDRESS, NetworkAddress("tls", "10.0.0.1", 7444)])
async def test_what_a_task_raises_ends_the_others_and_is_raised(address: NetworkAddress) -> None:
    there = [Place(NetworkAddress("tls", f"10.0.0.{number}", 7444)) for number in (1, 2)]
    ended: list[Place] = []

    async def look_up(address: NetworkAddress) -> tuple[Collection[Place], float]:
        return there, 3600.0

    async def keep(place: Place, leave: asyncio.Event) -> None:
        if place.address.host == "10.0.0.1":
            raise ValueError("its lifespan failed")
        try:
            await leave.wait()
        finally:
            ended.append(place)

    with pytest.raises(ValueError, match="its lifespan failed"):
        await asyncio.wait_for(Places(address, look_up).follow(keep, asyncio.Event().wait(), lambda why: None), 60)
    assert ended == (there[1:] if address.is_looked_up else [])
