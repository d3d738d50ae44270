"""Programs that tests launch: written to a file, executable, run by this interpreter."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

from support.tools import ON_WINDOWS, go_build

KV_PLUGIN = """
    import asyncio, os, sys
    from kv.v1.kv_connect import KeyValueService, AuditClient
    from kv.v1.kv_pb2 import GetResponse, PutResponse, RecordRequest, WatchResponse
    from plugmux.plugin import Plugin, Traits
    from plugmux.connect import Code, RpcError

    version = OPTIONS.pop("version", "v1.2.3")

    class Store(KeyValueService):
        values = {"pid": str(os.getpid()).encode(), "version": version.encode()}
        failures = calls = 0

        async def get(self, request, context):
            self.calls += 1
            if request.key == "calls":
                return GetResponse(value=str(self.calls).encode())
            if request.key == "large":
                return GetResponse(value=bytes(1000))
            if request.key == "exit":
                self.exit()
            if request.key == "hang":
                await asyncio.sleep(3600)
            if request.key.startswith("wait for "):
                open(request.key[9:] + ".begun", "w").close()
                while not os.path.exists(request.key[9:]):
                    await asyncio.sleep(0.01)
                return GetResponse(value=self.values["version"])
            if request.key.startswith("env "):
                return GetResponse(value=os.environ.get(request.key[4:], "").encode())
            self.fail()
            if request.key == "call the host":
                await plugin.client(AuditClient).record(RecordRequest(plugin="kv", event="get"))
            if request.key not in self.values:
                raise RpcError(Code.NOT_FOUND, f"no key {request.key!r}")
            return GetResponse(value=self.values[request.key])

        async def put(self, request, context):
            if request.key == "exit":
                self.exit()
            if request.key == "failures":
                self.failures = int(request.value)
            else:
                self.fail()
                self.values[request.key] = request.value
            return PutResponse()

        async def watch(self, request, context):
            if request.key == "unavailable":
                raise RpcError(Code.UNAVAILABLE, "not now")
            for n in range({"begin": 1, "hang": 0}.get(request.key, 3)):
                yield WatchResponse(value=str(n).encode())
            if request.key in ("begin", "hang"):
                await asyncio.sleep(3600)

        def fail(self):
            if self.failures:
                self.failures -= 1
                raise RpcError(Code.UNAVAILABLE, "not now")

        def exit(self):
            print("on my way out", file=sys.stderr, flush=True)
            os._exit(7)

    plugin = Plugin(Store(), version=version, traits=Traits(**OPTIONS.pop("traits", {})), **OPTIONS)
    plugin.run()
"""
"""A plugin that serves kv.v1.KeyValueService, and does as some keys tell it.

Get and Put "exit"; Get "hang", "calls", "large", and "wait for PATH", which tells that it waits in PATH.begun; Put
"failures" has so many calls fail; Watch "begin" and "hang" never end, and "unavailable" fails.
"""


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


def kv_program(directory: Path, name: str = "kv") -> str:
    """Put `KV_PLUGIN` somewhere, and return its path: in Go, so that it starts at once, but in Python on Windows."""
    if ON_WINDOWS:
        return script(directory, name, KV_PLUGIN)
    path = directory / name
    path.symlink_to(go_build(".", "./tests/support/kv", "go-kv"))
    return str(path)


def kv_script(directory: Path, name: str, version: str) -> str:
    """The same in some version, as a file that can be written to, and return its path."""
    if ON_WINDOWS:
        return script(directory, name, KV_PLUGIN, version=version)
    path = directory / name
    path.write_text(f"#!{go_build('.', './tests/support/kv', 'go-kv')} {version}\n")
    path.chmod(0o755)
    return str(path)
