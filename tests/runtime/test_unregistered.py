"""Links whose plugin has not registered: one more than there may be waits its turn."""

from __future__ import annotations

import asyncio

import pytest

from plugmux.link.link import Peer
from plugmux.runtime.socket import unregistered
from plugmux.runtime.socket.unregistered import MAX_UNREGISTERED, TooManyLinks, UnregisteredLinks
from support.remote import until

KV = Peer("kv", identity="spiffe://test/kv")
WEB = Peer("web", identity="spiffe://test/web")


@pytest.fixture
def links() -> UnregisteredLinks:
    return UnregisteredLinks()


def waiting(links: UnregisteredLinks) -> int:
    return sum(len(turns._waiting) for turns in links._turns.values())


async def test_the_next_link_waits_until_one_has_registered(links: UnregisteredLinks) -> None:
    ends = [await links.begin(KV) for _ in range(MAX_UNREGISTERED)]
    late = [asyncio.create_task(links.begin(KV)) for _ in range(2)]
    await until(lambda: waiting(links) == 2)
    ends[0]()
    ends[0]()  # Harmless.
    ends[0] = await late[0]
    assert not late[1].done()
    ends[1]()
    ends[1] = await late[1]
    for end in ends:
        end()
    assert not links._turns  # Nothing is kept of a peer that has left.


async def test_peers_do_not_wait_for_each_other(links: UnregisteredLinks) -> None:
    for _ in range(MAX_UNREGISTERED):
        await links.begin(KV)
    await links.begin(WEB)
    assert not waiting(links)


async def test_who_waits_for_too_long_is_refused(links: UnregisteredLinks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unregistered, "WAIT_TIME", 0.01)
    for _ in range(MAX_UNREGISTERED):
        end = await links.begin(KV)
    with pytest.raises(TooManyLinks, match="64 links of spiffe://test/kv have not registered yet"):
        await links.begin(KV)
    end()
    await links.begin(KV)


async def test_only_so_many_wait(links: UnregisteredLinks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unregistered, "MAX_WAITING", 3)
    ends = [await links.begin(KV) for _ in range(MAX_UNREGISTERED)]
    late = [asyncio.create_task(links.begin(KV)) for _ in range(3)]
    await until(lambda: waiting(links) == 3)
    with pytest.raises(TooManyLinks):
        await links.begin(KV)
    for end in ends[:3]:
        end()
    await asyncio.gather(*late)


async def test_a_turn_that_nobody_takes_is_the_next_ones(links: UnregisteredLinks) -> None:
    ends = [await links.begin(KV) for _ in range(MAX_UNREGISTERED)]
    left, stays, last = (asyncio.create_task(links.begin(KV)) for _ in range(3))
    await until(lambda: waiting(links) == 3)
    ends[0]()  # The turn of `left`, which has not been told yet,
    left.cancel()
    await asyncio.wait([left, stays])
    ends[0] = await stays
    last.cancel()  # One that waits is left out.
    ends[1]()
    await asyncio.wait([last])
    for end in [ends[0], *ends[2:]]:
        end()
    assert not links._turns
