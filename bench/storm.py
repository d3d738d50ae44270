#!/usr/bin/env python3
"""200 plugins whose links to one runtime all end at the same time: how soon they have linked again.

python storm.py FOLDER                     the runtime, and what is measured; the folder has the certificates
python storm.py FOLDER ADDRESS             the plugins, in one process
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from measure import processor_time
from plugin import Service
from plugmux import TLS, Host, Permissions, Plugin, Runtime
from plugmux.plugin import Traits
from plugmux.plugin.network import NetworkLinks
from plugmux.runtime import State

PLUGINS = 200


async def serve(folder: Path, address: str) -> None:
    tls = TLS.directory(folder / "plugin")
    plugins = [Plugin(Service(), name="plugin", traits=Traits(replica=True)) for _ in range(PLUGINS)]
    await asyncio.gather(*(NetworkLinks.parse("", address, tls).serve(plugin._connection) for plugin in plugins))


async def measure(folder: Path) -> None:
    host, permissions = Host(tls=TLS.directory(folder / "runtime")), Permissions(replicated=["plugin"])
    async with Runtime(listen=["tls://127.0.0.1:0"], host=host, permissions=permissions) as runtime:
        told = asyncio.subprocess.PIPE
        arguments = (__file__, str(folder), runtime.addresses[0])
        process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stderr=told)
        assert process.stderr is not None
        said = asyncio.create_task(process.stderr.read())
        await _all_linked(runtime, set())
        before = [plugin._record.link for plugin in runtime.plugins()]
        began, ours, theirs = time.perf_counter(), time.process_time(), processor_time(process.pid)
        for link in before:
            assert link is not None
            link.abort()
        await _all_linked(runtime, set(map(id, before)))
        took, ours = time.perf_counter() - began, time.process_time() - ours
        theirs = processor_time(process.pid) - theirs
        process.kill()
        await process.wait()
        again = (await said).count(b"tries again")
    used = f"{ours:.2f} s of the runtime, {theirs:.2f} s of the plugins"
    print(f"{PLUGINS} plugins have linked again after {took:.2f} s; processor time: {used}; {again} tries failed")


async def _all_linked(runtime: Runtime, but: set[int]) -> None:
    def ready() -> int:
        records = [plugin._record for plugin in runtime.plugins() if plugin.state is State.RUNNING]
        return sum(record.link is not None and id(record.link) not in but for record in records)

    while ready() < PLUGINS:
        await asyncio.sleep(0.02)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        asyncio.run(serve(Path(sys.argv[1]), sys.argv[2]))
    else:
        asyncio.run(measure(Path(sys.argv[1])))
