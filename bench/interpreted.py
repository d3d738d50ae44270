#!/usr/bin/env python3
"""Counts the bytecodes of a unary call that the interpreter runs, by file: in a compiled build, what is not compiled.

    python bench/interpreted.py [CALLS] [--in-flight N] [--size BYTES] [--uvloop]

Both ends run in one process, as for the layers `runtime` and `large` of instructions.py. The tracing makes the calls
slow and changes no count.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import Counter
from pathlib import PurePath
from types import FrameType
from typing import Any

from bench.v1.bench_connect import BenchClient
from bench.v1.bench_pb2 import EchoRequest

import plugmux
from instructions import WARM_UP, in_turn, loop_factory, stand_still
from plugin import Service
from plugmux import Runtime

OURS = ("plugmux", "asyncio", "google", "bench")


def short(filename: str) -> str:
    """The file, from the package that it belongs to on; a generated `__init__` has none."""
    parts = PurePath(filename).parts
    for name in OURS:
        if name in parts[:-1]:
            return "/".join(parts[len(parts) - 1 - parts[::-1].index(name) :])
    return parts[-1] if parts else filename


async def count(calls: int, in_flight: int, size: int) -> Counter[str]:
    """The bytecodes of a number of calls, by file."""
    run: Counter[str] = Counter()

    def trace(frame: FrameType, event: str, _argument: object) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            run[frame.f_code.co_filename] += 1
        return trace

    async with Runtime([Service()]) as runtime:
        client, request = runtime.client(BenchClient), EchoRequest(payload=bytes(size))
        await in_turn(WARM_UP, in_flight, lambda: client.echo(request))
        sys.settrace(trace)
        await in_turn(calls, in_flight, lambda: client.echo(request))
        sys.settrace(None)
    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("calls", nargs="?", type=int, default=320, help="how many calls to count (320)")
    parser.add_argument("--in-flight", type=int, default=16, help="calls at a time (16)")
    parser.add_argument("--size", type=int, default=100, help="bytes there and back (100)")
    parser.add_argument("--uvloop", action="store_true", help="run on uvloop")
    given = parser.parse_args()
    calls = given.calls
    stand_still()
    with asyncio.Runner(loop_factory=loop_factory(given.uvloop)) as runner:
        run = runner.run(count(calls, given.in_flight, given.size))
    print(f"{run.total() / calls:,.0f} bytecodes of a call are interpreted, both ends, ", end="")
    print("compiled" if plugmux.COMPILED else "pure")
    for filename, bytecodes in run.most_common(25):
        print(f"{bytecodes / calls:8,.0f}  {short(filename)}")


if __name__ == "__main__":
    main()
