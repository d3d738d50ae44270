"""Our mux against rust's `yamux` and libp2p's for JavaScript, both ways at once and in both roles."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from plugmux.yamux import Config
from support.yamux_exchange import Mode, Servers, call
from support.yamux_go import both_ways, start_peer

MIB = 1024 * 1024
HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def rust(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The peer on rust's yamux, built once."""
    target = Path(os.environ.get("CARGO_TARGET_DIR") or tmp_path_factory.mktemp("cargo"))
    command = ["cargo", "build", "--quiet", "--release", "--locked", f"--target-dir={target}"]
    subprocess.run(command, cwd=HERE / "rust", check=True)
    return target / "release" / "peer"


@pytest.fixture(scope="session")
def libp2p() -> Path:
    """The peer on @chainsafe/libp2p-yamux, which `make interop` has installed."""
    return HERE / "libp2p" / "peer.mjs"


@pytest.fixture(params=["rust", "libp2p"])
def peer_program(request: pytest.FixtureRequest) -> Path:
    program: Path = request.getfixturevalue(request.param)
    return program


@pytest.mark.parametrize("windows", ["the wire's windows", "growing windows", "large windows"])
@pytest.mark.parametrize("count", [1, 20, 100])
@pytest.mark.parametrize("client", [True, False], ids=["we are the client", "we are the server"])
async def test_exchanges_arrive_unchanged(peer_program: Path, client: bool, count: int, windows: str) -> None:
    config = {
        "the wire's windows": Config(max_stream_window_size=256 * 1024),
        "growing windows": Config(),
        "large windows": Config(stream_window_size=4 * MIB),
    }[windows]
    async with start_peer(peer_program, client=client, config=config) as peer:
        ours, theirs = await both_ways(peer, count, 8 * MIB, 1)
        assert ours.errors == []
        assert ours.ok == count
        assert theirs.errors == []
        assert theirs.ok + theirs.reset == count


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 262_143, 262_144, 262_145, 8 * MIB])
async def test_sizes_at_the_edges(peer_program: Path, size: int) -> None:
    async with start_peer(peer_program, client=True) as peer:
        Servers(peer.mux)
        for mode in (Mode.PLAIN, Mode.HALF_CLOSE, Mode.ABANDON):
            await call(peer.mux, mode, size, size)
