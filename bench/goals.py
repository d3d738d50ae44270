"""What plugmux is to reach, as ratios within one run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["GOALS", "Goal"]


@dataclass(frozen=True, slots=True)
class Goal:
    """One bound on a figure, as a rule on its ratio to another.

    Args:
        what: for a person.
        ours: work, system and figure, as three words.
        theirs: the same, of whom we compare with, if anybody.
        sign: on which side of the bound the ratio is to be.
        bound: the bound.
        by: what is held against the bound: the ratio of both figures, their difference, or ours by itself.
    """

    what: str
    ours: str
    theirs: str
    sign: Literal["<=", ">="]
    bound: float
    by: Literal["ratio", "difference", "value"] = "ratio"


GOALS = (
    Goal("unary, serial, to grpc.aio", "unary-serial plugmux p50_us", "unary-serial grpc-aio p50_us", "<=", 0.55),
    Goal("unary, serial, to the Go pair", "unary-serial plugmux p50_us", "unary-serial go-pair p50_us", "<=", 1.0),
    Goal("unary, 16 in flight, to grpc.aio", "unary-16 plugmux per_s", "unary-16 grpc-aio per_s", ">=", 2.0),
    Goal("unary, 16 in flight, to the Go pair", "unary-16 plugmux per_s", "unary-16 go-pair per_s", ">=", 1.2),
    Goal("uvloop, serial, to the Go pair", "unary-serial plugmux-uvloop p50_us", "unary-serial go-pair p50_us", "<=", 0.75),
    Goal("uvloop, 16 in flight, to the Go pair", "unary-16 plugmux-uvloop per_s", "unary-16 go-pair per_s", ">=", 1.5),
    Goal("unary, 64 KiB, to grpc.aio", "unary-64k plugmux per_s", "unary-64k grpc-aio per_s", ">=", 1.5),
    Goal("unary, 1 MiB, to grpc.aio", "unary-1m plugmux per_s", "unary-1m grpc-aio per_s", ">=", 1.5),
    Goal("server stream, 100 B, to grpc.aio", "stream-100b plugmux per_s", "stream-100b grpc-aio per_s", ">=", 3.0),
    Goal("server stream, 64 KiB, to grpc.aio", "stream-64k plugmux per_s", "stream-64k grpc-aio per_s", ">=", 2.0),
    Goal("client stream, 64 KiB, to grpc.aio", "upload-64k plugmux per_s", "upload-64k grpc-aio per_s", ">=", 2.0),
    Goal("raw stream, same window as Go yamux", "raw-bulk plugmux per_s", "raw-bulk go-yamux per_s", ">=", 1.3),
    Goal("raw stream, grown window, to Go yamux", "raw-bulk-grown plugmux per_s", "raw-bulk-grown go-yamux per_s", ">=", 2.0),
    Goal("raw stream, same window, to the floor", "raw-bulk plugmux per_s", "raw-bulk floor per_s", ">=", 0.5),
    Goal("the same, to the floor with a window", "raw-bulk plugmux per_s", "raw-bulk floor credited_per_s", ">=", 0.5),
    Goal("raw stream, grown window, to the floor", "raw-bulk-grown plugmux per_s", "raw-bulk floor per_s", ">=", 0.5),
    Goal("p99 under a bulk, to idle", "small-under-bulk plugmux p99_us", "small-under-bulk plugmux base_p99_us", "<=", 5.0),
    Goal("Python host, Go plugin, to the Go pair", "host-to-go-plugin plugmux p50_us", "unary-serial go-pair p50_us", "<=", 1.0),
    Goal("launch, to a bare interpreter", "launch plugmux p50_us", "launch plugmux base_p50_us", "<=", 1.5),
    Goal("launch of a Go plugin, us", "launch plugmux go_p50_us", "", "<=", 30_000, "value"),
    Goal("import plugmux, to asyncio", "import plugmux p50_us", "import plugmux base_p50_us", "<=", 1.5),
    Goal("memory of a plugin over bare, MiB", "memory plugmux mib", "memory plugmux base_mib", "<=", 12.0, "difference"),
    Goal("a call at 100 plugins, to 1", "plugins-100 plugmux p50_us", "plugins-100 plugmux base_p50_us", "<=", 1.10),
    Goal("a call at 10,000 idle streams, to 0", "idle-streams plugmux p50_us", "idle-streams plugmux base_p50_us", "<=", 1.10),
    Goal("compiled, serial, to ttrpc", "unary-serial plugmux-compiled p50_us", "unary-serial ttrpc p50_us", "<=", 1.0),
    Goal("compiled, serial, to go-plugin", "unary-serial plugmux-compiled p50_us", "unary-serial go-plugin p50_us", "<=", 0.8),
    Goal("compiled, 16 in flight, to go-plugin", "unary-16 plugmux-compiled per_s", "unary-16 go-plugin per_s", ">=", 1.0),
    Goal("compiled, 16 in flight, to ttrpc", "unary-16 plugmux-compiled per_s", "unary-16 ttrpc per_s", ">=", 0.55),
    Goal("compiled, 16 in flight, to the Go pair", "unary-16 plugmux-compiled per_s", "unary-16 go-pair per_s", ">=", 3.5),
    Goal("compiled, 16 in flight, to grpc.aio", "unary-16 plugmux-compiled per_s", "unary-16 grpc-aio per_s", ">=", 8.0),
    Goal("compiled, processor time, to pure", "cpu-16 plugmux-compiled cpu_us", "cpu-16 plugmux cpu_us", "<=", 0.45),
    Goal("compiled, server stream, 100 B, to go-plugin", "stream-100b plugmux-compiled per_s", "stream-100b go-plugin per_s", ">=", 1.0),
    Goal("compiled, 64 KiB, to ttrpc", "unary-64k plugmux-compiled per_s", "unary-64k ttrpc per_s", ">=", 1.0),
    Goal("unary, 16 in flight, to go-plugin", "unary-16 plugmux per_s", "unary-16 go-plugin per_s", ">=", 1.0),
    Goal("unary, 16 in flight, to ttrpc", "unary-16 plugmux per_s", "unary-16 ttrpc per_s", ">=", 0.55),
    Goal("server stream, 100 B, to go-plugin", "stream-100b plugmux per_s", "stream-100b go-plugin per_s", ">=", 1.0),
    Goal("unary, 64 KiB, to ttrpc", "unary-64k plugmux per_s", "unary-64k ttrpc per_s", ">=", 1.0),
    Goal("unary, 64 KiB, uvloop to asyncio", "unary-64k plugmux-uvloop per_s", "unary-64k plugmux per_s", "<=", 1.1),
    Goal("compiled, socket app, to FastAPI", "socket-json-64 plugmux-compiled per_s", "socket-json-64 uvicorn-fastapi per_s", ">=", 3.0),
    Goal("compiled, socket app, to connect-go", "socket-json-64 plugmux-compiled per_s", "socket-json-64 connect-go per_s", ">=", 0.7),
    Goal("socket app, to FastAPI", "socket-json-64 plugmux per_s", "socket-json-64 uvicorn-fastapi per_s", ">=", 3.0),
    Goal("socket app, to connect-go", "socket-json-64 plugmux per_s", "socket-json-64 connect-go per_s", ">=", 0.7),
    Goal("Go plugin, 16 in flight, to the Go pair", "unary-16 plugmux-go per_s", "unary-16 go-pair per_s", ">=", 1.2),
    Goal("TypeScript plugin, 16 in flight, to grpc-js", "ts-unary-16 plugmux-ts per_s", "ts-unary-16 grpc-js per_s", ">=", 2.0),
    Goal("TypeScript plugin, 16 in flight, to connect-node", "ts-unary-16 plugmux-ts per_s", "ts-unary-16 connect-node per_s", ">=", 1.0),
    Goal("a call at 1,000 plugins, to 1", "plugins-1000 plugmux p50_us", "plugins-1000 plugmux base_p50_us", "<=", 1.2),
    Goal("memory of 1,000 idle links, MiB", "plugins-1000 plugmux mib", "", "<=", 58.6, "value"),
    Goal("50 Python plugins by a zygote, to processes", "start-50 plugmux p50_us", "start-50 plugmux base_p50_us", "<=", 0.25),
)  # fmt: skip
