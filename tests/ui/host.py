"""A runtime for the inspector's tests: `python host.py ADDRESS [--copies N] [--calls N]`.

It has the example plugins, one that serves every kind of method, and one that fails. It prints "ready" when they run,
and what it has used of the processor at each line that it reads: the seconds, and the calls that it has made.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest, PutRequest

from plugmux import Launch, RestartPolicy, Runtime
from plugmux.runtime import Policies
from plugmux.secrets import Resolver, secrets_services

ROOT = Path(__file__).resolve().parents[2]
GENERATED = ROOT / "build/ui/gen"
BATCH = 0.02
"""Seconds between two batches of calls."""

FAILING = "import sys; sys.exit('this plugin <b>always</b> fails')"


def generate() -> None:
    """Make the stubs of the tests' own proto."""
    GENERATED.mkdir(parents=True, exist_ok=True)
    proto = ROOT / "tests/ui/proto"
    outputs = [f"--python_out={GENERATED}", f"--plugmux_out={GENERATED}"]
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{proto}", *outputs, "inspected/v1/inspected.proto"]
    subprocess.run(command, check=True)


def launches(copies: int) -> list[Launch | str]:
    """What to run."""
    python = str(ROOT / "examples/python-plugin/python-plugin")
    if copies:
        return [Launch([str(ROOT / "bin/go-plugin")], f"plugin-{number:02}") for number in range(1, copies + 1)]
    everything = [sys.executable, str(ROOT / "tests/ui/everything-plugin")]
    path = os.pathsep.join([str(GENERATED), *sys.path])
    again = Policies(restart=RestartPolicy(delay=0.2, longest_delay=0.2))
    return [
        Launch([sys.executable, python], "python-plugin"),
        str(ROOT / "bin/go-plugin"),
        str(ROOT / "examples/ts-plugin/dist/ts-plugin"),
        Launch(everything, "everything", env={"PYTHONPATH": path}, policies=again),
        Launch(
            [sys.executable, "-c", FAILING], "failing", policies=Policies(restart=RestartPolicy(tries=1, delay=0.1))
        ),
    ]


async def load(runtime: Runtime, per_second: int, made: list[int]) -> None:
    """Call all key-value stores in turn, so many times a second."""
    clients = [client for _, client in runtime.clients(KeyValueClient)]
    await asyncio.gather(*(client.put(PutRequest(key="a", value=b"x" * 40)) for client in clients))
    begin, turn = time.monotonic(), 0
    while True:
        due = int((time.monotonic() - begin) * per_second) - made[0]
        batch = [clients[(turn + number) % len(clients)] for number in range(min(due, per_second))]
        turn += len(batch)
        # Those of a plugin that has been restarted have no value.
        await asyncio.gather(*(client.get(GetRequest(key="a")) for client in batch), return_exceptions=True)
        made[0] += len(batch)
        await asyncio.sleep(BATCH)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("--copies", type=int, default=0)
    parser.add_argument("--calls", type=int, default=0)
    options = parser.parse_args()
    generate()
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    runtime = Runtime(launches(options.copies), listen=[options.address])
    for service in secrets_services(runtime, Resolver(runtime)):
        runtime.mount(service)
    async with runtime:
        made = [0]
        calling = asyncio.create_task(load(runtime, options.calls, made)) if options.calls else None
        print("ready", flush=True)
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while await reader.readline():
            print(time.process_time(), made[0], flush=True)
        if calling is not None:
            calling.cancel()


if __name__ == "__main__":
    asyncio.run(main())
