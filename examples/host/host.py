#!/usr/bin/env python3
"""A host that embeds the runtime, uses a plugin in each language, and prints what it did."""

import asyncio
import sys
from pathlib import Path

from kv.v1.kv_connect import AuditService, KeyValueClient
from kv.v1.kv_pb2 import GetRequest, PutRequest, RecordRequest, RecordResponse, WatchRequest

from plugmux import Launch, Runtime
from plugmux.connect import Context
from plugmux.secrets import Resolver

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = {
    "python-plugin": [sys.executable, str(ROOT / "examples/python-plugin/python-plugin")],
    "go-plugin": [str(ROOT / "bin/go-plugin")],
    "ts-plugin": [str(ROOT / "examples/ts-plugin/dist/ts-plugin")],
}


class Audit(AuditService):
    """A service of the host that plugins call."""

    def __init__(self) -> None:
        self.events: list[str] = []

    async def record(self, request: RecordRequest, context: Context) -> RecordResponse:
        self.events.append(f"{request.plugin}: {request.event}")
        return RecordResponse()


async def main() -> int:
    audit = Audit()
    launches = [Launch(command, name=name) for name, command in PLUGINS.items()]
    async with Runtime(launches, services=[audit]) as runtime:
        resolver = Resolver(runtime)
        failed = [plugin.error for plugin in runtime.plugins() if plugin.error]
        print(f"{'plugin':<15}{'version':<9}{'secret':<37}{'put, get':<13}watch")
        for plugin in runtime.plugins():
            if plugin.error:
                continue
            language = plugin.name.removesuffix("-plugin")
            secret = await resolver.get(f"{language}/greeting")
            kv = runtime.client(KeyValueClient, plugin=plugin.name)
            await kv.put(PutRequest(key="answer", value=b"42"))
            got = await kv.get(GetRequest(key="answer"))
            async with kv.watch(WatchRequest(key="answer")) as values:
                seen = await anext(aiter(values))
            shown = f"{secret.id} = {secret.value.decode()}"
            print(f"{plugin.name:<15}{plugin.version:<9}{shown:<37}{got.value.decode():<13}{seen.value.decode()}")
    for event in audit.events:
        print(f"the host was called by {event}")
    for error in failed:
        print(error, file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
