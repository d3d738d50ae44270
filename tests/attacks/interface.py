"""What an attack is, and the host that it is made on."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest

from plugmux import Launch, Runtime
from support.programs import KV_PLUGIN, script

__all__ = ["ATTACKER", "MIB", "Attack", "Host", "Outcome", "attack_host"]

MIB = 1 << 20

ATTACKER = 65_534
"""The user that attacks as a stranger: "nobody", who owns no process and no file."""

AS_ATTACKER = """
import ast, os
for node in ast.walk(ast.parse({source!r})):
    for name in [node.module] if isinstance(node, ast.ImportFrom) else getattr(node, "names", ()):
        __import__(name if isinstance(name, str) else name.name)
os.setgroups([])
os.setgid({user})
os.setuid({user})
exec({source!r}, {{"__name__": "__main__"}})
"""
"""Runs a program as another user; what it imports comes before, as the interpreter may lie where only root can read."""

PACE = 0.005
"""Seconds between two calls to the honest plugin."""

CALLS_BEFORE = 100
QUIET = 0.02
"""Seconds that the longest of the calls before an attack takes on a machine with nothing else to do, at most."""


@dataclass(frozen=True)
class Attack:
    """One attack, and the bounds that it must not break.

    Args:
        name: a few words; unique in its module.
        run: makes the attack, and raises `AssertionError` where it succeeds. It is called in the host's own loop.
        memory: bytes by which the host may grow.
        latency: seconds that a call to the honest plugin may take meanwhile, where its calls take at most `QUIET`
            before; on a busier machine it may take longer in proportion.
        seconds: how long the attack may take as a whole.
        needs_root: whether it starts a process of another user, which root alone can.
        options: makes further arguments for the host's `Runtime`, from a directory that is the attack's own;
            `plugins` are run beside the honest one.
    """

    name: str
    run: Callable[[Host], Awaitable[None]]
    memory: int = 64 * MIB
    latency: float = 1.0
    seconds: float = 30.0
    needs_root: bool = False
    options: Callable[[Path], Mapping[str, Any]] = field(default=lambda directory: {})


@dataclass
class Host:
    """The process under attack: a runtime that listens, with an honest plugin.

    Attributes:
        runtime: the runtime; the honest plugin is called `honest`.
        address: where it listens: an abstract name, which every user can connect to.
        directory: an empty directory of the attack's own, which every user may enter.
        slowness: how many times longer than `QUIET` a call took before the attack; 1 at least.
    """

    runtime: Runtime
    address: str
    directory: Path
    slowness: float = 1.0
    _programs: list[asyncio.subprocess.Process] = field(default_factory=list)

    async def program(self, source: str, *arguments: object, stranger: bool = False) -> asyncio.subprocess.Process:
        """Start a Python program, which is killed at the attack's end; its stdin and stdout are pipes.

        Args:
            source: the program; it may be indented. It has the standard library alone.
            arguments: what it finds in `sys.argv[1:]`.
            stranger: whether it runs as the user `ATTACKER` (see `Attack.needs_root`).
        """
        source = textwrap.dedent(source)
        process = await asyncio.create_subprocess_exec(
            os.path.realpath(sys.executable),
            "-ISc",
            AS_ATTACKER.format(source=source, user=ATTACKER) if stranger else source,
            *map(str, arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd="/",
        )
        self._programs.append(process)
        return process

    @property
    def sockaddr(self) -> str:
        """The name that programs connect to, behind a zero byte."""
        return self.address.removeprefix("unix:@")

    async def close(self) -> None:
        """Kill what `program` has started."""
        for process in self._programs:
            if process.returncode is None:
                process.kill()
            await process.wait()  # Its pipes end with it.
            if process.stdin is not None:
                process.stdin.close()


@dataclass(frozen=True)
class Outcome:
    """What came of an attack.

    Args:
        memory: the largest memory of the host, in bytes.
        growth: how much that is above what it had before.
        latency: the longest call to the honest plugin, in seconds.
        calls: how many calls to the honest plugin were answered.
        fault: what the attack has achieved; empty where the host held.
        late: the fault is a call that took too long, and nothing else: other work on the machine does that as well.
    """

    memory: int = 0
    growth: int = 0
    latency: float = 0.0
    calls: int = 0
    fault: str = ""
    late: bool = False

    def to_json(self) -> str:
        """The outcome as it crosses to the runner."""
        return json.dumps(asdict(self))


class _HonestCalls:
    """Calls the honest plugin again and again, and keeps the time of the longest call."""

    def __init__(self, runtime: Runtime) -> None:
        self._client = runtime.client(KeyValueClient, plugin="honest")
        self.longest = 0.0
        self.calls = 0

    async def make(self, limit: float) -> None:
        while True:
            begun = time.perf_counter()
            await self._client.get(GetRequest(key="pid"), timeout=max(10.0, 2 * limit))
            self.longest = max(self.longest, time.perf_counter() - begun)
            self.calls += 1
            await asyncio.sleep(PACE)


@asynccontextmanager
async def attack_host(attack: Attack, directory: Path) -> AsyncIterator[Host]:
    """A host with an honest plugin, for the length of one attack."""
    own, honest = directory / "attack", directory / "honest"
    for folder in (own, honest):
        folder.mkdir()
        folder.chmod(0o755)
    options = dict(attack.options(own))
    plugins = [Launch([script(honest, "honest", KV_PLUGIN)], timeout=60), *options.pop("plugins", ())]
    address = f"unix:@plugmux-attack-{os.getpid()}"
    async with Runtime(plugins, listen=[address], **options) as runtime:
        host = Host(runtime, address, own)
        try:
            yield host
        finally:
            await host.close()


async def make_attack(attack: Attack, directory: Path) -> Outcome:
    """Make one attack, in this process, and tell what came of it."""
    async with attack_host(attack, directory) as host:
        honest = _HonestCalls(host.runtime)
        before = _forget_largest()
        calling = asyncio.create_task(honest.make(attack.latency))
        while honest.calls < CALLS_BEFORE and not calling.done():
            await asyncio.sleep(PACE)
        host.slowness = max(1.0, honest.longest / QUIET)
        allowed = attack.latency * host.slowness
        honest.longest = 0.0
        fault = await _fault_of(attack, host)
        enough = honest.calls + 1  # The call that was under way counts as well.
        while honest.calls < enough and not calling.done():
            await asyncio.sleep(PACE)
        calling.cancel()
        (ended,) = await asyncio.gather(calling, return_exceptions=True)
    if not isinstance(ended, asyncio.CancelledError):
        fault = fault or f"a call to the honest plugin failed: {ended!r}"
    memory = _largest()
    growth = memory - before
    if not fault and growth > attack.memory:
        fault = f"the host grew by {growth / MIB:.0f} MiB; {attack.memory / MIB:.0f} MiB are allowed"
    late = not fault and honest.longest > allowed
    if late:
        fault = f"a call to the honest plugin took {honest.longest:.2f} s; {allowed:.2g} s are allowed"
    return Outcome(memory, growth, honest.longest, honest.calls, fault, late)


async def _fault_of(attack: Attack, host: Host) -> str:
    try:
        async with asyncio.timeout(attack.seconds):
            await attack.run(host)
    except TimeoutError:
        return f"it did not end within {attack.seconds:g} s"
    except AssertionError as error:
        return str(error) or "an assertion of the attack failed"
    except Exception as error:
        return f"the attack itself failed: {error!r}"
    return ""


def _forget_largest() -> int:
    """Let the largest memory of this process be counted from now on, and return what it has in use."""
    Path("/proc/self/clear_refs").write_text("5")
    return _largest()


def _largest() -> int:
    """The largest memory that this process has had in use."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024
