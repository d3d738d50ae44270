"""The mux of this repository in Python as the other end, on an inherited socket, steered by lines on stdin.

It takes the same options and commands as the Go peer in tests/interop/yamux/peer, as far as the tests use them.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import socket
import sys
from typing import Any

from plugmux.yamux import Config, Mux
from support.yamux_exchange import Servers, call_many


async def answer(mux: Mux, servers: list[Servers], words: list[str]) -> dict[str, Any]:
    match words:
        case ["accept"]:
            servers.append(Servers(mux))
            return {"error": ""}
        case ["goaway"]:
            mux.go_away()
            return {"error": ""}
        case ["call", *numbers]:
            count, total, largest, seed = map(int, numbers)
            return dataclasses.asdict(await call_many(mux, count, total, largest, seed))
        case ["ping"]:
            return {"rtt": await mux.ping(), "error": ""}
        case _:
            return {"error": "no such command"}


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("-fd", type=int)
    parser.add_argument("-client", type=json.loads)
    parser.add_argument("-window", type=int, default=256 * 1024)
    parser.add_argument("-accept", type=json.loads, default=True)
    parser.add_argument("-backlog", type=int, default=256)
    options = parser.parse_args()
    config = Config(stream_window_size=options.window, accept_backlog=options.backlog)
    mux = Mux(client=options.client, config=config)
    loop = asyncio.get_running_loop()
    await loop.create_unix_connection(lambda: mux, sock=socket.socket(fileno=options.fd))
    servers = [Servers(mux)] if options.accept else []
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(await answer(mux, servers, line.split())), flush=True)
    for each in servers:
        await each.wait()
    await mux.close()


asyncio.run(main())
