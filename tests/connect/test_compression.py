"""Compressions, and their bounds."""

from __future__ import annotations

import contextlib
import random
import tracemalloc

import pytest
from echo.v1.echo_connect import EchoClient
from echo.v1.echo_pb2 import CountRequest, SayRequest, SumRequest
from hypothesis import given
from hypothesis import strategies as st

from memory import MemoryTransport
from plugmux.connect import App, Code, Context, RpcError, RpcLimits
from plugmux.connect.codec import decompress
from plugmux.connect.compression import MAX_PARTS, NAMES, DecompressedTooLarge, installed, named
from plugmux.connect.negotiation import negotiate
from plugmux.errors import ConfigError
from test_calls import Echo

DATA = b"all the same " * 1000
NOISE = random.Random(1).randbytes(100_000)


@pytest.mark.parametrize("name", NAMES)
def test_data_come_out_as_they_went_in(name: str) -> None:
    compression = named(name)
    assert compression.decompress(compression.compress(DATA), len(DATA)) == DATA
    assert compression.decompress(compression.compress(b""), 0) == b""
    assert len(compression.compress(DATA)) < len(DATA) / 10


@pytest.mark.parametrize("name", NAMES)
def test_decompression_stops_at_the_limit(name: str) -> None:
    compression = named(name)
    bomb = compression.compress(bytes(1 << 24))
    tracemalloc.start()
    try:
        with pytest.raises(DecompressedTooLarge):
            compression.decompress(bomb, 1000)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    with pytest.raises(DecompressedTooLarge):
        compression.decompress(compression.compress(DATA), len(DATA) - 1)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_compressed_data_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        named(name).decompress(b"\x00garbage", 1000)


@pytest.mark.parametrize("name", NAMES)
def test_data_that_end_early_are_refused(name: str) -> None:
    compression = named(name)
    compressed = compression.compress(NOISE)
    for size in (1, len(compressed) // 2, len(compressed) - 1):
        with pytest.raises(ValueError, match="end early"):
            compression.decompress(compressed[:size], len(NOISE))


@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_data_of_several_parts_are_one(name: str) -> None:
    compression = named(name)
    compressed = compression.compress(b"one") + compression.compress(b"two")
    assert compression.decompress(compressed, 6) == b"onetwo"
    with pytest.raises(DecompressedTooLarge):
        compression.decompress(compressed, 5)
    with pytest.raises(ValueError, match="end early"):
        compression.decompress(compressed[:-1], 6)


@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_empty_parts_do_not_add_up_to_work(name: str) -> None:
    compression = named(name)
    empty, noise = compression.compress(b""), compression.compress(NOISE)
    assert compression.decompress(empty * (MAX_PARTS - 1) + noise, len(NOISE)) == NOISE
    with pytest.raises(ValueError, match=f"more than {MAX_PARTS} parts"):
        compression.decompress(empty * MAX_PARTS + noise, len(NOISE))


@pytest.mark.parametrize("name", NAMES)
def test_no_data_are_none_in_any_compression(name: str) -> None:
    assert decompress(b"", named(name), 10, Code.INTERNAL) == b""


@pytest.mark.parametrize("name", NAMES)
@given(noise=st.binary(max_size=300), cut=st.integers(0, 300), flip=st.integers(0, 300), limit=st.integers(0, 400))
def test_arbitrary_data_unpack_within_the_limit_or_are_refused(
    name: str, noise: bytes, cut: int, flip: int, limit: int
) -> None:
    compression = named(name)
    damaged = bytearray(compression.compress(noise))
    damaged[flip % len(damaged)] ^= 1 + cut % 255
    for data in (noise, bytes(damaged), bytes(damaged[:cut]) + noise):
        with contextlib.suppress(ValueError, DecompressedTooLarge):
            assert len(compression.decompress(data, limit)) <= limit


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        (b"", None),
        (b"identity", None),
        (b"gzip", "gzip"),
        (b"lzma, br;q=0.5, gzip", "br"),
        (b"gzip;q=0, zstd", "zstd"),
        (b"gzip; q=0.000", None),
        (b"*", None),
    ],
)
def test_the_first_compression_that_both_have_is_chosen(accepted: bytes, chosen: str | None) -> None:
    compression = negotiate(accepted, NAMES)
    assert (compression and compression.name) == chosen


def test_one_that_does_not_exist_is_refused_when_it_is_configured() -> None:
    assert installed("lzma") is None
    with pytest.raises(ConfigError, match="gzip, br, zstd"):
        named("lzma")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fast", [True, False])
async def test_calls_are_compressed_both_ways(name: str, fast: bool) -> None:
    transport = MemoryTransport(App([Echo()], compress_min=10), fast=fast)
    client = EchoClient(transport, compression=name, accept=[name], compress_min=10)
    text = "x" * 5000
    assert (await client.say(SayRequest(text=text))).text == text
    assert len(transport.requests[-1].body) < 200  # type: ignore[arg-type]  # bytes
    assert (b"content-encoding", name.encode()) in transport.requests[-1].headers
    assert [reply.number async for reply in client.count(CountRequest(to=3))] == [1, 2, 3]
    assert (await client.sum(SumRequest(number=n) for n in range(3))).sum == 3


@pytest.mark.parametrize(("size", "compressed"), [(900, False), (1100, True)])
async def test_messages_below_a_threshold_go_as_they_are(size: int, compressed: bool) -> None:
    transport = MemoryTransport(App([Echo()]))
    client = EchoClient(transport, compression="gzip", accept=["gzip"])
    context = Context()
    await client.say(SayRequest(text="x" * size), context=context)
    assert (dict(transport.requests[-1].headers).get(b"content-encoding") == b"gzip") is compressed
    assert ((b"content-encoding", b"gzip") in context.response_headers.raw) is compressed


@pytest.mark.parametrize("fast", [True, False])
async def test_a_small_request_that_unpacks_into_a_huge_one_is_refused(fast: bool) -> None:
    transport = MemoryTransport(App([Echo()], limits=RpcLimits(receive=10_000)), fast=fast)
    client = EchoClient(transport, compression="gzip", accept=["gzip"])
    with pytest.raises(RpcError, match=r"resource_exhausted: .* 10000 bytes set by RpcLimits.receive"):
        await client.say(SayRequest(text="x" * 1_000_000))


async def test_a_compression_that_the_server_does_not_know_is_unimplemented() -> None:
    client = EchoClient(MemoryTransport(App([Echo()], compression=["gzip"])), compression="zstd", compress_min=0)
    with pytest.raises(RpcError, match="'zstd' is not supported; supported are: gzip") as caught:
        await client.say(SayRequest(text="x"))
    assert caught.value.code is Code.UNIMPLEMENTED
    with pytest.raises(RpcError, match="unimplemented"):
        await client.sum([])
