"""The path of one plugin's life through the files of runtime/: construct, launch, register, call, crash, close.

`python tests/structure/life.py` prints how often the path enters each file; `--json` prints the counts alone. The trace
covers every function call of the process, and so the life has a process of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import plugmux
from plugmux import Runtime

ROOT = Path(plugmux.__file__).parent / "runtime"
PLUGIN = """\
import sys
from plugmux import Plugin
from kv.v1.kv_connect import KeyValueService
from kv.v1.kv_pb2 import GetResponse

class Store(KeyValueService):
    async def get(self, request, context):
        return GetResponse(value=b"1")

Plugin(Store(), name="life", version="v1.0.0").run()
"""


async def live() -> None:
    """One whole life."""
    from kv.v1.kv_connect import KeyValueClient
    from kv.v1.kv_pb2 import GetRequest

    async with Runtime([[sys.executable, "-c", PLUGIN, "life.py"]]) as runtime:
        kv = runtime.client(KeyValueClient)
        await kv.get(GetRequest(key="a"))
        (plugin,) = runtime.plugins()
        events = runtime.events()
        following = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        assert plugin.pid is not None
        os.kill(plugin.pid, signal.SIGKILL)
        event = await following
        while event.state.value != "running":
            event = await anext(events)
        await events.aclose()
        await kv.get(GetRequest(key="a"))


def traced() -> list[str]:
    """The files of runtime/ that one life enters, in their order, each as often as it is entered from another."""
    path: list[str] = []
    prefix = str(ROOT) + os.sep

    def enter(frame: FrameType, event: str, argument: Any) -> None:
        name = frame.f_code.co_filename
        function = frame.f_code.co_flags & inspect.CO_OPTIMIZED  # no module and no class, which run as they are loaded
        if event == "call" and function and name.startswith(prefix):
            here = name.removeprefix(prefix)
            if not path or path[-1] != here:
                path.append(here)

    threading.setprofile(enter)
    sys.setprofile(enter)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(live())
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return path


if __name__ == "__main__":
    entered = traced()
    if "--json" not in sys.argv:
        for name in dict.fromkeys(entered):
            print(f"{entered.count(name):5}  {name}")
    print(json.dumps({"files": len(set(entered)), "moves": len(entered)}))
