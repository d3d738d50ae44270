"""Many who come to a port of the network at once: their handshakes wait for each other, and none is ended for it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest

from plugmux.contract.address import NetworkAddress, parse_address
from plugmux.network import listener as listening
from plugmux.network.connect import connect
from plugmux.network.listener import NetworkListener
from plugmux.platform import accepting
from support.pki import Pki
from support.remote import until
from support.strangers import CLIENT_HELLO

MOST = 4


@pytest.fixture
async def listener(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[NetworkListener]:
    monkeypatch.setattr(listening, "MAX_HANDSHAKES", MOST)
    address = parse_address("tls://127.0.0.1:0")
    assert isinstance(address, NetworkAddress)
    made = NetworkListener(address, pki.tls("runtime"), lambda end: asyncio.Protocol(), lambda kind, line: None)
    await made.start()
    yield made
    await made.close()
    assert not made._waiting
    assert not made._handshakes


@contextmanager
def half_handshakes(listener: NetworkListener, count: int) -> Iterator[list[socket.socket]]:
    """Connections that have begun a handshake, and do not go on."""
    opened = [socket.create_connection(("127.0.0.1", listener.address.port)) for _ in range(count)]
    try:
        for connection in opened:
            connection.send(CLIENT_HELLO)
            connection.setblocking(False)
        yield opened
    finally:
        for connection in opened:
            connection.close()


def is_open(connection: socket.socket) -> bool:
    try:
        return bool(connection.recv(1))
    except BlockingIOError:
        return True
    except OSError:
        return False


async def get_in(listener: NetworkListener, pki: Pki) -> None:
    transport, _, _ = await connect(listener.address, asyncio.Protocol, pki.tls("kv"), lambda end: None)
    transport.abort()


async def test_both_ends_send_what_is_written_at_once(pki: Pki) -> None:
    """Otherwise small calls beside each other wait for the acknowledgement of the first, which the peer delays."""
    served: list[asyncio.BaseTransport] = []

    class Kept(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            served.append(transport)

    address = parse_address("tls://127.0.0.1:0")
    assert isinstance(address, NetworkAddress)
    listener = NetworkListener(address, pki.tls("runtime"), lambda end: Kept(), lambda kind, line: None)
    await listener.start()
    dialled, _, _ = await connect(listener.address, asyncio.Protocol, pki.tls("kv"), lambda end: None)
    await until(lambda: served)
    for transport in (dialled, served[0]):
        assert transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        transport.abort()  # type: ignore[attr-defined]  # it can abort
    await listener.close()


async def test_who_comes_late_waits_and_ends_nobody(
    listener: NetworkListener, pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "QUEUE_TIME", 60.0)
    with half_handshakes(listener, MOST) as slow:
        await until(lambda: len(listener._handshakes) == MOST)
        late = asyncio.create_task(get_in(listener, pki))
        await until(lambda: listener._waiting)
        assert all(map(is_open, slow))
        slow[0].close()
        await late
        assert all(map(is_open, slow[1:]))


async def test_who_has_waited_for_a_while_takes_the_place_of_the_oldest(
    listener: NetworkListener, pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "QUEUE_TIME", 0.05)
    with half_handshakes(listener, MOST) as slow:
        await until(lambda: len(listener._handshakes) == MOST)
        await get_in(listener, pki)
        await until(lambda: not is_open(slow[0]))


async def test_only_so_many_wait(listener: NetworkListener, pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "QUEUE_TIME", 60.0)
    monkeypatch.setattr(listening, "MAX_WAITING", 3)
    with half_handshakes(listener, MOST) as slow, half_handshakes(listener, 3):
        await until(lambda: len(listener._waiting) == 3)
        with half_handshakes(listener, 1):
            await until(lambda: not is_open(slow[0]))
            assert (len(listener._waiting), len(listener._handshakes)) == (3, MOST)


async def test_one_identity_has_only_so_many_connections(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accepting, "MAX_CONNECTIONS", 2)
    told: list[str] = []
    address = parse_address("tls://127.0.0.1:0")
    assert isinstance(address, NetworkAddress)
    listener = NetworkListener(address, pki.tls("runtime"), lambda end: Hello(), lambda kind, line: told.append(line))
    await listener.start()

    async def admitted(name: str) -> Greeted | None:
        _, greeted, _ = await connect(listener.address, Greeted, pki.tls(name), lambda end: None)
        return greeted if await greeted.answered else None

    first, second = await admitted("kv"), await admitted("kv")
    assert first
    assert second
    assert not await admitted("kv")
    assert "spiffe://test/kv has 2 open, which is as many as one may have" in told[-1]
    other = await admitted("other")
    assert other  # Nobody is kept out by another.
    first.transport.abort()
    while not (again := await admitted("kv")):
        pass  # Until the listener has seen the end of the first.
    for greeted in (second, other, again):
        greeted.transport.abort()
    await listener.close()


class Hello(asyncio.Protocol):
    """Says something to who has been let in."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.write(b"hello")  # type: ignore[attr-defined]  # it writes


class Greeted(asyncio.Protocol):
    """Waits for the first bytes or the end of a connection."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.answered: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.answered.set_result(True)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.answered.done():
            self.answered.set_result(False)


async def test_it_closes_while_connections_wait(listener: NetworkListener) -> None:
    with half_handshakes(listener, MOST + 2) as slow:
        await until(lambda: len(listener._waiting) == 2)
        await listener.close()
        await until(lambda: not any(map(is_open, slow)))


async def test_who_speaks_while_it_closes_begins_no_handshake(listener: NetworkListener) -> None:
    opened = [socket.create_connection(("127.0.0.1", listener.address.port)) for _ in range(2)]
    await until(lambda: len(listener._silent) == 2)
    try:
        for connection in opened:
            connection.send(CLIENT_HELLO)  # Nothing has seen it when this closes.
            connection.setblocking(False)
        await listener.close()
        assert not listener._handshakes
        await until(lambda: not any(map(is_open, opened)))
    finally:
        for connection in opened:
            connection.close()
