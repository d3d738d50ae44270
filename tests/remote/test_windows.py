"""The windows of a link over a long line grow, whatever the language of the plugin that receives."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import pytest

from plugmux import Host, Runtime
from support.pki import Pki
from support.probe import probe_command
from support.remote import in_state
from support.tools import LANGUAGES, ROOT

RTT = 0.2
MIB = 1024 * 1024
PIECE = bytes(64 * 1024)


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_plugin_gives_a_stream_that_it_reads_a_large_window(
    language: str, pki: Pki, unused_tcp_port: int
) -> None:
    async with Runtime(listen=["tls://127.0.0.1:0"], host=Host(tls=pki.tls("runtime"))) as runtime:
        port = runtime.addresses[0].rpartition(":")[2]
        line = [sys.executable, str(ROOT / "bench/delay.py"), str(unused_tcp_port), port, str(RTT)]
        meets = {"PLUGMUX_SOCKET": f"tls://127.0.0.1:{unused_tcp_port}", "PLUGMUX_TLS_DIR": str(pki.directory("probe"))}
        with (
            subprocess.Popen(line) as delay,
            subprocess.Popen(probe_command(language), env=os.environ | meets) as plugin,
        ):
            try:
                await in_state(runtime, "probe")
                link = runtime.plugin("probe").link
                assert link is not None
                reader, writer = await link.open_stream("sha256")
                digest, window = hashlib.sha256(), 0
                for _ in range(32 * MIB // len(PIECE)):
                    writer.write(PIECE)
                    digest.update(PIECE)
                    await writer.drain()
                    window = max(window, writer.transport.stream.send_window)  # type: ignore[attr-defined]
                    if window > 4 * MIB:
                        break
                writer.write_eof()
                assert (await reader.read()).decode() == digest.hexdigest()
                assert window > 4 * MIB
                writer.close()
            finally:
                plugin.kill()
                delay.kill()
