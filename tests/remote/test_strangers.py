"""Strangers at the port of a plugin that listens, in each language.

They cost little, are told of in few lines, and keep nobody out.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest, PutRequest

from plugmux import Host, Remote, Runtime
from plugmux.runtime import State
from support.pki import Pki
from support.remote import until
from support.strangers import CLIENT_HELLO, SCAN
from support.tools import LANGUAGES, example_plugin

MAX_LINES = 40
MAX_GROWTH = 96 << 20


class Listening:
    """An example plugin that listens.

    Attributes:
        name: under which it registers.
        port: where it listens.
        pid: its process.
    """

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path, port: int) -> None:
        self.name, self.pid, self.port = name, process.pid, port
        self._log = log

    @property
    def lines(self) -> list[str]:
        return self._log.read_text(errors="replace").splitlines()

    @property
    def memory(self) -> int:
        """Bytes that the process has in memory."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) << 10

    @property
    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))


@pytest.fixture(params=LANGUAGES)
async def listening(request: pytest.FixtureRequest, pki: Pki, tmp_path: Path) -> AsyncIterator[Listening]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path / "log"
    environ = os.environ | {
        "PLUGMUX_TLS_DIR": str(pki.directory("kv")),
        "PLUGMUX_LISTEN": f"tls://127.0.0.1:{port}",
    }
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *example_plugin(request.param), env=environ, stdin=asyncio.subprocess.DEVNULL, stdout=file, stderr=file
        )
    try:
        yield Listening(f"{request.param}-plugin", process, log, port)
    finally:
        process.kill()
        await process.wait()


@contextmanager
def connections(port: int, count: int, say: bytes) -> Iterator[list[socket.socket]]:
    """As many connections that have said something, and then say nothing."""
    opened = []
    try:
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", port))
            opened.append(connection)
            with suppress(ConnectionError):  # It may have been ended by the other end.
                connection.sendall(say)
        yield opened
    finally:
        for connection in opened:
            connection.close()


async def called(listening: Listening, pki: Pki) -> None:
    """Check that a runtime gets in, and calls the plugin."""
    remote = Remote(f"tls://127.0.0.1:{listening.port}", name=listening.name, identity="spiffe://test/kv")
    async with Runtime([remote], host=Host(tls=pki.tls("runtime"))) as runtime:
        await until(lambda: runtime.plugin(listening.name).state is State.RUNNING)
        kv = runtime.client(KeyValueClient)
        await kv.put(PutRequest(key="a", value=b"1"))
        assert (await kv.get(GetRequest(key="a"))).value == b"1"


async def test_a_port_scan_is_told_in_few_lines(listening: Listening, pki: Pki) -> None:
    await called(listening, pki)
    before, memory = len(listening.lines), listening.memory
    for _ in range(100):
        for say in SCAN:
            with connections(listening.port, 1, say):
                pass
    await called(listening, pki)
    assert len(listening.lines) - before < MAX_LINES, listening.lines[before:][:60]
    assert listening.memory - memory < MAX_GROWTH


async def test_handshakes_that_never_end_keep_nobody_out(listening: Listening, pki: Pki) -> None:
    await called(listening, pki)
    for say in (b"", CLIENT_HELLO):
        before, memory = len(listening.lines), listening.memory
        with connections(listening.port, 2000, say):
            await called(listening, pki)
            assert listening.descriptors < 1400  # The oldest have been ended.
            assert listening.memory - memory < MAX_GROWTH
        await called(listening, pki)
        assert len(listening.lines) - before < MAX_LINES, listening.lines[before:][:60]


async def test_handshakes_byte_by_byte_end(listening: Listening, pki: Pki) -> None:
    """Each byte comes in time, and the handshake as a whole does not."""
    await called(listening, pki)
    with connections(listening.port, 3, b"\x16\x03\x03\x3f\xff\x01") as slow:  # of 16 KiB
        for connection in slow:
            connection.setblocking(False)

        def ended() -> bool:
            return all(_has_ended(connection) for connection in slow)

        await until(ended)
    await called(listening, pki)


def _has_ended(connection: socket.socket) -> bool:
    try:
        connection.send(b"\x00")
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


async def test_no_session_is_resumed(listening: Listening, pki: Pki, tmp_path: Path) -> None:
    """A session would go on with a certificate that has expired since, or whose CA is not trusted any more."""
    await called(listening, pki)
    folder, session = pki.directory("runtime"), tmp_path / "session"
    files = ("-cert", folder / "tls.crt", "-key", folder / "tls.key", "-CAfile", folder / "ca.crt")
    where = ("-connect", f"127.0.0.1:{listening.port}", "-alpn", "plugmux/1")
    told = []
    for option in ("-sess_out", "-sess_in"):
        if option == "-sess_in" and not session.exists():
            continue  # It was given none.
        words = map(str, ("s_client", "-ign_eof", *where, *files, option, session))
        client = await asyncio.create_subprocess_exec(
            "openssl",
            *words,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await asyncio.wait_for(
            client.communicate(b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"), 60
        )
        told.append(out.decode(errors="replace"))
    assert all("New, TLSv1.3" in text for text in told), told[-1]
    assert not any("Reused, TLSv1.3" in text for text in told), told[-1]
