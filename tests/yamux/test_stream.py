"""A stream keeps the contract of asyncio's transports."""

from __future__ import annotations

import asyncio

import pytest

from plugmux.errors import LinkTimeout, SessionClosed, StreamReset
from plugmux.yamux import Config, Mux, StreamTransport
from plugmux.yamux.frame import ACK, DATA, FIN, INITIAL_WINDOW, RST, SYN, WINDOW_UPDATE, pack_header
from support.yamux_links import Accepted, Echo, Recorder, bare_peer, mux_pair, read_frame, reader_writer


async def test_open_and_write_in_one_turn_are_one_frame() -> None:
    async with bare_peer(client=True) as (mux, reader, _):
        transport = mux.open(Recorder())
        transport.write(b"head")
        transport.writelines([b"body", b"tail"])
        assert await read_frame(reader) == (DATA, SYN, 1, 12, b"headbodytail")


async def test_callbacks_come_in_the_order_of_the_contract() -> None:
    accepted = Accepted()
    async with mux_pair(listen=accepted) as (client, _):
        protocol = Recorder()
        transport = client.open(protocol)
        transport.write(b"x")
        transport.write_eof()
        await client.ping()
        (server,) = accepted.made
        await server.lost
        await protocol.lost
        assert server.told == ["made", "data", "eof", "lost"]
        assert protocol.told == ["made", "eof", "lost"]
        assert server.error is None
        assert protocol.error is None


async def test_a_half_closed_stream_is_kept_open_when_the_protocol_wants_it() -> None:
    accepted = Accepted(keep_open=True)
    async with mux_pair(listen=accepted) as (client, _):
        reader, writer = await reader_writer(client)
        writer.write_eof()
        await client.ping()
        (server,) = accepted.made
        await server.ended
        server.transport.write(b"answer")
        server.transport.close()
        assert await reader.read() == b"answer"
        writer.close()
        await server.lost


async def test_write_eof_is_final_for_writing() -> None:
    async with mux_pair() as (client, _):
        transport = client.open(Recorder(keep_open=True))
        assert transport.can_write_eof()
        transport.write_eof()
        transport.write_eof()
        transport.write(b"")
        with pytest.raises(RuntimeError, match="write_eof"):
            transport.write(b"x")


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(pack_header(WINDOW_UPDATE, RST, 1, 0), id="a reset"),
        pytest.param(pack_header(DATA, 0, 1, 0xFFFFFFFF), id="a frame that ends the session"),
    ],
)
async def test_an_answer_to_data_that_came_together_with_the_end_of_the_stream_is_dropped(end: bytes) -> None:
    """The session has read the end when the protocol gets the data that stood before it."""
    asked: list[Echo] = []
    complaints: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))

    def accept() -> Echo:
        asked.append(Echo())
        return asked[-1]

    async with bare_peer(client=False, listen=accept) as (mux, _, _):
        mux.feed(pack_header(DATA, SYN, 1, 1) + b"x" + end)
        (echo,) = asked
        echo.transport.write(b"later")
        echo.transport.write_eof()
        assert not mux.streams
    assert not complaints


async def test_what_is_written_after_close_is_dropped() -> None:
    accepted = Accepted()
    async with mux_pair(listen=accepted) as (client, _):
        protocol = Recorder()
        transport = client.open(protocol)
        transport.write(b"x")
        transport.close()
        transport.close()
        assert transport.is_closing()
        transport.write(b"y")
        transport.write_eof()
        await protocol.lost
        transport.write(b"z")
        transport.abort()
        await client.ping()
        await accepted.made[0].lost
        assert accepted.made[0].data == b"x"
        assert protocol.error is None


async def test_mutable_buffers_are_copied() -> None:
    accepted = Accepted(keep_open=True)
    async with mux_pair(listen=accepted) as (client, _):
        data = bytearray(b"before")
        transport = client.open(Recorder())
        transport.write(data)
        transport.write(memoryview(data)[:3])
        data[:] = b"after!"
        await client.ping()
        assert accepted.made[0].data == b"beforebef"


async def test_abort_resets_the_peers_stream() -> None:
    accepted = Accepted()
    async with mux_pair(listen=accepted) as (client, server):
        protocol = Recorder()
        transport = client.open(protocol)
        transport.write(b"x")
        await client.ping()
        transport.abort()
        transport.abort()
        await accepted.made[0].lost
        assert isinstance(accepted.made[0].error, StreamReset)
        assert protocol.told == ["made", "lost"]
        assert protocol.error is None
        assert len(server.streams) == len(client.streams) == 0


async def test_a_paused_protocol_gets_no_data_and_the_peer_no_credit() -> None:
    accepted = Accepted()
    async with mux_pair(listen=accepted) as (client, _):
        transport = client.open(Recorder(keep_open=True))
        transport.write(b"first")
        await client.ping()
        (server,) = accepted.made
        server.transport.pause_reading()
        assert not server.transport.is_reading()
        transport.write(bytes(INITIAL_WINDOW))
        transport.write_eof()
        for _ in range(3):
            await client.ping()
        assert server.told == ["made", "data"]
        assert transport.get_write_buffer_size() == 5
        server.transport.resume_reading()
        server.transport.resume_reading()
        await server.ended
        assert len(server.data) == INITIAL_WINDOW + 5


async def test_data_and_end_that_were_held_come_before_a_reset() -> None:
    accepted = Accepted(keep_open=True)
    async with mux_pair(listen=accepted) as (client, _):
        transport = client.open(Recorder(keep_open=True))
        transport.write(b"1")
        await client.ping()
        (server,) = accepted.made
        server.transport.pause_reading()
        transport.write(b"2")
        transport.write_eof()
        await client.ping()
        transport.abort()
        await server.lost
        assert server.data == b"12"
        assert server.told == ["made", "data", "data", "eof", "lost"]
        assert isinstance(server.error, StreamReset)


async def test_data_that_was_held_comes_before_the_end_of_the_session() -> None:
    accepted = Accepted()
    async with mux_pair(listen=accepted) as (client, _):
        transport = client.open(Recorder())
        transport.write(b"1")
        await client.ping()
        (server,) = accepted.made
        server.transport.pause_reading()
        transport.write(b"2")
        await client.ping()
        await client.close()
        await server.lost
        assert server.data == b"12"
        assert isinstance(server.error, SessionClosed)


async def test_writing_pauses_above_the_high_water_mark_and_resumes_at_the_low_one() -> None:
    accepted = Accepted()
    async with mux_pair(listen=accepted) as (client, _):
        protocol = Recorder()
        transport = client.open(protocol)
        transport.set_write_buffer_limits(high=1000)
        assert transport.get_write_buffer_limits() == (250, 1000)
        transport.write(bytes(1000))
        assert protocol.told == ["made"]
        transport.write(b"x")
        assert protocol.told == ["made", "pause"]
        await client.ping()
        assert protocol.told == ["made", "pause", "resume"]
        transport.write(bytes(500))
        transport.set_write_buffer_limits(low=100)
        assert transport.get_write_buffer_limits() == (100, 400)
        assert protocol.told[-1] == "pause"
        transport.set_write_buffer_limits()
        assert transport.get_write_buffer_limits() == (65_536, 262_144)
        with pytest.raises(ValueError, match="at least"):
            transport.set_write_buffer_limits(high=1, low=2)


class Buffered(asyncio.BufferedProtocol):
    """A protocol with a small buffer of its own."""

    def __init__(self) -> None:
        self.buffer = bytearray(4)
        self.data = bytearray()
        self.ended = asyncio.get_running_loop().create_future()

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data += self.buffer[:nbytes]

    def eof_received(self) -> None:
        self.ended.set_result(None)


async def test_buffered_protocols_are_fed_through_their_buffer() -> None:
    async with mux_pair() as (client, _):
        protocol = Buffered()
        transport = client.open(protocol)
        transport.write(b"0123456789")
        transport.write_eof()
        await protocol.ended
        assert protocol.data == b"0123456789"


async def test_an_empty_buffer_of_a_protocol_ends_its_stream(caplog: pytest.LogCaptureFixture) -> None:
    async with mux_pair() as (client, _):
        protocol = Buffered()
        protocol.buffer = bytearray()
        client.open(protocol).write(b"x")
        await client.wait_idle()
        assert "data_received() of the protocol on stream 1 failed" in caplog.text


async def test_the_protocol_can_be_exchanged() -> None:
    async with mux_pair() as (client, _):
        first, second = Recorder(), Recorder()
        transport = client.open(first)
        assert transport.get_protocol() is first
        transport.set_protocol(second)
        transport.write(b"x")
        transport.write_eof()
        await second.ended
        assert first.told == ["made"]
        assert second.data == b"x"
        await second.lost


async def test_a_protocol_that_only_writes_needs_no_data_received() -> None:
    async with mux_pair() as (client, _):
        transport = client.open(asyncio.BaseProtocol())
        transport.write(b"x")
        await client.ping()
        assert len(client.streams) == 1
        transport.abort()


async def test_what_the_connection_knows_can_be_asked_of_the_stream() -> None:
    async with mux_pair() as (client, _):
        transport = client.open(Recorder())
        assert transport.get_extra_info("stream_id") == 1
        assert transport.get_extra_info("mux") is client
        assert transport.get_extra_info("socket") is not None
        assert transport.get_extra_info("nothing", 7) == 7
        assert repr(transport).startswith("<StreamTransport open <Stream 1")
        assert Mux(client=True).get_extra_info("socket", 5) == 5


@pytest.mark.parametrize(
    "callback", ["data_received", "eof_received", "pause_writing", "resume_writing", "connection_lost"]
)
async def test_an_error_of_a_protocol_ends_its_stream_only(callback: str, caplog: pytest.LogCaptureFixture) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    async with mux_pair() as (client, _):
        protocol, other = Recorder(), Recorder()
        setattr(protocol, callback, fail)
        transport, other_transport = client.open(protocol), client.open(other)
        transport.write(bytes(300_000))
        transport.write_eof()
        other_transport.write(b"fine")
        other_transport.write_eof()
        await other.lost
        await client.wait_idle()
        assert other.data == b"fine"
        assert f"{callback}() of the protocol on stream 1 failed" in caplog.text
        if callback != "connection_lost":
            await protocol.lost
            assert isinstance(protocol.error, ZeroDivisionError)


async def test_a_factory_that_fails_resets_its_stream_only(caplog: pytest.LogCaptureFixture) -> None:
    fails = iter([True, False])

    def factory() -> Echo:
        if next(fails):
            raise ZeroDivisionError
        return Echo()

    async with mux_pair(listen=factory) as (client, _):
        protocol = Recorder()
        client.open(protocol)
        await protocol.lost
        assert isinstance(protocol.error, StreamReset)
        assert "no protocol could be made for stream 1" in caplog.text
        reader, writer = await reader_writer(client)
        writer.write(b"x")
        assert await reader.read(1) == b"x"
        writer.close()


async def test_an_error_in_connection_made_reaches_the_opener() -> None:
    class Failing(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            raise ZeroDivisionError

    async with mux_pair() as (client, _):
        with pytest.raises(ZeroDivisionError):
            client.open(Failing())
        assert len(client.streams) == 0


async def test_data_for_a_closed_stream_is_tolerated_up_to_half_a_window_then_reset() -> None:
    async with bare_peer(client=True) as (mux, reader, writer):
        protocol = Recorder()
        mux.open(protocol).close()
        await protocol.lost
        assert await read_frame(reader) == (WINDOW_UPDATE, SYN | FIN, 1, 0, b"")
        half = INITIAL_WINDOW // 2
        writer.write(pack_header(DATA, ACK, 1, half - 1) + bytes(half - 1))
        await asyncio.wait_for(mux_answers(mux, reader, writer), 5)
        assert len(mux.streams) == 1
        writer.write(pack_header(DATA, 0, 1, 1) + b"x")
        assert await read_frame(reader) == (WINDOW_UPDATE, RST, 1, 0, b"")
        assert len(mux.streams) == 0


async def mux_answers(mux: Mux, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Make sure that the mux has read what was written: ping it by hand."""
    writer.write(pack_header(2, SYN, 0, 99))
    assert await read_frame(reader) == (2, ACK, 0, 99, b"")


async def test_a_close_that_is_not_answered_becomes_a_reset() -> None:
    async with bare_peer(client=True, config=Config(stream_close_timeout=0.02)) as (mux, reader, _):
        protocol = Recorder()
        mux.open(protocol).close()
        await protocol.lost
        assert protocol.error is None
        assert (await read_frame(reader))[1] == SYN | FIN
        assert (await read_frame(reader))[1] == RST
        assert len(mux.streams) == 0


async def test_a_close_that_cannot_be_flushed_ends_with_a_time_limit() -> None:
    async with bare_peer(client=True, config=Config(stream_close_timeout=0.02)) as (mux, _, _writer):
        protocol = Recorder()
        transport = mux.open(protocol)
        transport.write(bytes(INITIAL_WINDOW + 1))
        transport.close()
        await protocol.lost
        assert isinstance(protocol.error, LinkTimeout)


async def test_a_stream_that_is_never_acknowledged_ends_with_a_time_limit() -> None:
    async with bare_peer(client=True, config=Config(stream_open_timeout=0.02)) as (mux, reader, _):
        protocols = [Recorder(), Recorder()]
        for protocol in protocols:
            mux.open(protocol)
        for protocol in protocols:
            await protocol.lost
            assert isinstance(protocol.error, LinkTimeout)
        assert [(await read_frame(reader))[1] for _ in range(4)] == [SYN, SYN, RST, RST]


async def test_the_reader_and_writer_of_asyncio_run_on_a_stream() -> None:
    async with mux_pair() as (client, _):
        reader, writer = await reader_writer(client)
        assert isinstance(writer.transport, StreamTransport)

        async def write() -> None:
            for _ in range(64):
                writer.write(bytes(65_536))
                await writer.drain()
            writer.write_eof()

        task = asyncio.create_task(write())
        total = 0
        while data := await reader.read(65_536):
            total += len(data)
        await task
        assert total == 64 * 65_536
        writer.close()
        await writer.wait_closed()
