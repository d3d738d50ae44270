"""rpyc over a unix socket: a call of a method of the server's service; 16 in flight by its asynchronous calls."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import rpyc

from measure import KIB64, MIB, Bench, run


class Service(rpyc.Service):
    def exposed_echo(self, payload: bytes) -> bytes:
        return payload


def serve(path: str) -> None:
    from rpyc.utils.server import ThreadedServer

    ThreadedServer(Service, socket_path=path).start()


async def measure(bench: Bench) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s"
        with subprocess.Popen([sys.executable, __file__, str(path)], stderr=subprocess.DEVNULL) as process:
            while not path.exists():
                time.sleep(0.01)
            time.sleep(0.1)
            connection = rpyc.utils.factory.unix_connect(str(path))

            async def echo(payload: bytes) -> None:
                assert len(connection.root.echo(payload)) == len(payload)

            async def echo_concurrent(payload: bytes) -> None:
                pending = rpyc.async_(connection.root.echo)(payload)
                while not pending.ready:
                    await asyncio.sleep(0)
                assert len(pending.value) == len(payload)

            await bench.calls("unary-serial", 1, 100, echo)
            await bench.calls("unary-16", 16, 100, echo_concurrent)
            await bench.calls("unary-64k", 1, KIB64, echo)
            await bench.calls("unary-1m", 1, MIB, echo)
            connection.close()
            process.kill()


if __name__ == "__main__":
    if len(sys.argv) == 2:
        serve(sys.argv[1])
    else:
        run("rpyc", measure)
