# ruff: noqa: E402 -- a start that fails imports little
"""A plugin that misbehaves as its arguments and the keys of Get tell it; tests/faults holds a runtime against it.

Its twins are go/main.go and ts/src: every word means the same in all three.
"""

import os
import signal
import sys
from pathlib import Path

if sys.platform == "win32":  # The link is two handles, and to close one of them ends it.
    import _winapi
    import json

    link = json.loads(os.environ["PLUGMUX_PLUGIN_LAUNCH_CFG"])["w"]
    write, close = _winapi.WriteFile, _winapi.CloseHandle
    KILL = signal.SIGTERM  # It is no signal there: the process ends at once.
else:
    link, write, close, KILL = 3, os.write, os.close, signal.SIGKILL

REGISTRATION = b"POST /plugins.v1.RegisterService/RegisterPlugin HTTP/1.1\r\n"


def frame(stream: int, length: int) -> bytes:
    """The head of a data frame that opens a stream."""
    return bytes([0, 0, 0, 1]) + stream.to_bytes(4, "big") + length.to_bytes(4, "big")


def begin(fault: str = "", crashes: str = "") -> None:
    """Do what goes wrong before a plugin has registered.

    Args:
        fault: "exit-registering", or "crash-loop" to end at once as often as the file `crashes` says.
    """
    if fault == "exit-registering":
        write(link, frame(1, 1000) + REGISTRATION)
        print("half registered", file=sys.stderr, flush=True)
        os._exit(3)
    if fault == "crash-loop" and (left := int(Path(crashes).read_text())):
        Path(crashes).write_text(str(left - 1))
        os._exit(3)


begin(*sys.argv[1:])  # A start that fails need not import all this:

import asyncio
import subprocess
import threading

from kv.v1.kv_connect import KeyValueService
from kv.v1.kv_pb2 import GetRequest, GetResponse

from plugmux import Plugin
from plugmux.connect import Code, Context, RpcError

MEBIBYTE = 1 << 20


class Faulty(KeyValueService):
    async def get(self, request: GetRequest, context: Context) -> GetResponse:
        word, _, argument = request.key.partition(" ")
        fault = getattr(self, f"do_{word}", None)
        if fault is None:
            raise RpcError(Code.NOT_FOUND, f"no fault {word!r}")
        return GetResponse(value=await fault(argument))

    async def do_fail(self, _: str) -> bytes:
        raise RuntimeError("no such luck")

    async def do_pid(self, _: str) -> bytes:
        return str(os.getpid()).encode()

    async def do_hang(self, _: str) -> bytes:
        await asyncio.Event().wait()
        return b""

    async def do_exit(self, _: str) -> bytes:
        print("on my way out", file=sys.stderr, flush=True)
        os._exit(7)

    async def do_garbage(self, _: str) -> bytes:
        write(link, b"garbage on the link, and more of it")
        return await self.do_hang(_)

    async def do_halfframe(self, _: str) -> bytes:
        write(link, frame(0x7FFFFFFF, 100) + b"half of it")
        os.kill(os.getpid(), KILL)
        return b""

    async def do_unlink(self, hearing: str) -> bytes:
        signal.signal(signal.SIGTERM, signal.SIG_IGN if hearing == "deaf" else signal.SIG_DFL)
        close(link)
        threading.Event().wait()
        return b""

    async def do_child(self, kind: str) -> bytes:
        sleep = [sys.executable, "-IS", "-c", "import time; time.sleep(3600)"]
        child = subprocess.Popen(sleep, start_new_session=kind == "detached")
        return str(child.pid).encode()

    async def do_flood(self, mebibytes: str) -> bytes:
        await asyncio.to_thread(flood, int(mebibytes))
        return mebibytes.encode()


def flood(mebibytes: int) -> None:
    block = (b"x" * 65535 + b"\n") * (MEBIBYTE // 65536)
    for _ in range(mebibytes):
        rest = memoryview(block)
        while rest:
            rest = rest[os.write(2, rest) :]


Plugin(Faulty(), version="v1.0.0").run()
