"""Programs that tests launch: written to a file, executable, run by this interpreter."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

from support.tools import ON_WINDOWS

KV_PLUGIN = """
    import asyncio, os, sys
    from kv.v1.kv_connect import KeyValueService, AuditClient
    from kv.v1.kv_pb2 import GetResponse, PutResponse, RecordRequest, WatchResponse
    from plugmux.plugin import Plugin, Traits
    from plugmux.connect import Code, RpcError

    class Store(KeyValueService):
        values = {"pid": str(os.getpid()).encode()}

        async def get(self, request, context):
            if request.key == "exit":
                print("on my way out", file=sys.stderr, flush=True)
                os._exit(7)
            if request.key == "hang":
                await asyncio.sleep(3600)
            if request.key == "call the host":
                await plugin.client(AuditClient).record(RecordRequest(plugin="kv", event="get"))
            if request.key.startswith("env "):
                return GetResponse(value=os.environ.get(request.key[4:], "").encode())
            if request.key not in self.values:
                raise RpcError(Code.NOT_FOUND, f"no key {request.key!r}")
            return GetResponse(value=self.values[request.key])

        async def put(self, request, context):
            self.values[request.key] = request.value
            return PutResponse()

        async def watch(self, request, context):
            for n in range(3):
                yield WatchResponse(value=str(n).encode())

    plugin = Plugin(Store(), version="v1.2.3", traits=Traits(**OPTIONS.pop("traits", {})), **OPTIONS)
    plugin.run()
"""
"""A plugin that serves kv.v1.KeyValueService, and does as some keys tell it."""


def script(directory: Path, name: str, source: str, /, *, interpreter: str = sys.executable, **options: object) -> str:
    """Write an executable Python program and return its path.

    Args:
        directory: where to.
        name: its file name, to which `.py` is added on Windows.
        source: the program; it may be indented.
        interpreter: what its first line names.
        options: the value of `OPTIONS` in the program.
    """
    head = f"#!{interpreter}\nOPTIONS = {options!r}\n"
    path = directory / name
    if ON_WINDOWS:
        path = directory / f"{name.removesuffix('.py')}.py"
        head += "import sys; del sys.path[0]\n"  # `kv.py` is not the package `kv`.
    path.write_text(f"{head}{textwrap.dedent(source)}", "utf-8")
    path.chmod(0o755)
    return str(path)
