"""Limits hold against a plugin that exceeds them, in every language, and the error names the limit."""

from __future__ import annotations

import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest

from plugmux import ConfigError, Launch, Plugin, PluginCause, PluginError, Runtime
from plugmux.connect import Code, RpcError
from plugmux.platform import ExitStatus
from plugmux.platform.posix.limits import limit_commands
from plugmux.runners import ContainerRunner, DetachedRunner, JoinPoint, ManualRunner, RemoteRunner, detached
from plugmux.runtime import Limits, LocalRunner, Runner, source
from plugmux.runtime.process import local
from plugmux.runtime.process.counter import ProcessCounter
from plugmux.runtime.process.limits import MIB
from plugmux.testing.runner import MemoryRunner
from support.programs import KV_PLUGIN, script

GREEDY = """
    import os, subprocess, sys, threading, time
    from plugmux import Plugin

    def exceed():
        {deed}

    threading.Thread(target=exceed).start()
    Plugin(app=lambda *_: None, version="v1.0.0").run()
"""
"""A plugin that does more than it may as soon as it has started."""

ENDING = "error = sys.exc_info()[1]; print(type(error).__name__, error, file=sys.stderr, flush=True); os._exit(1)"
DEEDS = {
    "memory": f"""
        try:
            kept = [bytearray(1 << 20) for _ in range(2000)]
        except MemoryError:
            {ENDING}
    """,
    "cpu": """
        while True:
            pass
    """,
    "files": f"""
        try:
            kept = [open(os.devnull) for _ in range(2000)]
        except OSError:
            {ENDING}
    """,
    "processes": """
        subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(3600)'], start_new_session=True)
    """,
}
TOLD = {
    "memory": r"exited with status 1 .*: very likely it reached its memory limit of 256 MiB",
    "cpu": r"was ended by SIGXCPU .*: it used more than its CPU limit of 1 s",
    "files": r"exited with status 1 .*: very likely it reached its limit of 64 open files",
    "processes": r"was ended by SIGKILL .*: it had 2 processes, over its limit of 1",
}
LIMITS = {"memory": 256 * MIB, "cpu": 1, "files": 64, "processes": 1}


async def error_of(launch: Launch) -> PluginError:
    """Run a plugin until it fails, and return why."""
    async with Runtime([launch]) as runtime:
        plugin = runtime.plugin(launch.name)
        while plugin.error is None:
            await plugin.changed()
        return plugin.error


@pytest.mark.parametrize("what", LIMITS)
async def test_a_plugin_that_exceeds_a_limit_is_ended_and_the_error_says_which(tmp_path: Path, what: str) -> None:
    program = script(tmp_path, "greedy", GREEDY.replace("{deed}", DEEDS[what].strip()))
    error = await error_of(Launch([program], limits=Limits(**{what: LIMITS[what]})))
    assert error.cause is PluginCause.OVER_LIMIT
    assert re.search(TOLD[what], error.detail), error.detail


async def test_a_plugin_within_its_limits_works(tmp_path: Path) -> None:
    launch = Launch([script(tmp_path, "kv", KV_PLUGIN)], limits=Limits(**LIMITS), cwd=tmp_path)
    async with Runtime([launch]) as runtime:
        assert (await runtime.client(KeyValueClient).get(GetRequest(key="pid"))).value


GREEDY_HANDLER = """
    import os
    from kv.v1.kv_connect import KeyValueService
    from kv.v1.kv_pb2 import GetResponse
    from plugmux import Plugin

    class Store(KeyValueService):
        async def get(self, request, context):
            if request.key == "memory":
                return GetResponse(value=bytes(1 << 30))
            if request.key == "files":
                kept = [open(os.devnull) for _ in range(2000)]
            return GetResponse(value=b"fine")

    Plugin(Store(), version="v1.0.0").run()
"""


@pytest.mark.parametrize(("what", "told"), [("memory", "ran out of memory"), ("files", "could open no more files")])
async def test_a_call_that_reaches_a_limit_fails_and_the_plugin_works_on(tmp_path: Path, what: str, told: str) -> None:
    launch = Launch([script(tmp_path, "kv", GREEDY_HANDLER)], limits=Limits(**{what: LIMITS[what]}))
    async with Runtime([launch]) as runtime:
        kv = runtime.client(KeyValueClient)
        with pytest.raises(RpcError, match=told) as caught:
            await kv.get(GetRequest(key=what))
        assert caught.value.code is Code.RESOURCE_EXHAUSTED
        assert (await kv.get(GetRequest(key="a"))).value == b"fine"


@pytest.mark.parametrize(
    "values",
    [{"memory": 1}, {"memory": 1.5}, {"cpu": 0}, {"cpu": 0.5}, {"files": 3}, {"processes": 0}],
    ids=str,
)
def test_a_limit_out_of_its_range_is_refused(values: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=next(iter(values))):
        Limits(**values)


@pytest.mark.parametrize(
    ("make", "limits"),
    [
        (lambda: RemoteRunner(["sh"], JoinPoint("tls://127.0.0.1:7445")), LIMITS),
        (ManualRunner, LIMITS),
        (lambda: MemoryRunner(Plugin(version="v1.0.0")), LIMITS),
        (lambda: DetachedRunner("/nowhere"), ["processes"]),
        (LocalRunner, []),
        (lambda: ContainerRunner("image"), []),
    ],
    ids=["remote", "manual", "memory", "detached", "local", "container"],
)
def test_a_limit_that_a_runner_cannot_hold_a_plugin_to_is_refused_by_its_name(
    make: Callable[[], Runner], limits: Iterable[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (source, local, detached):  # The system knows them all.
        monkeypatch.setattr(module, "unsupported_limits", dict)
    runner = make()
    for name, most in LIMITS.items():
        if name in limits:
            with pytest.raises(
                ConfigError, match=f"plugin 'kv' cannot be held to its limit {name}: .* leave the limit"
            ):
                Launch(["./kv"], limits=Limits(**{name: most}), runner=runner)
        else:
            Launch(["./kv"], limits=Limits(**{name: most}), runner=runner)


@pytest.mark.parametrize(
    "runner", [None, LocalRunner(), DetachedRunner("/nowhere")], ids=lambda runner: type(runner).__name__
)
def test_a_limit_that_the_system_does_not_know_is_refused_by_its_name(
    runner: Runner | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (source, local, detached):
        monkeypatch.setattr(module, "unsupported_limits", lambda: {"cpu": "there is no clock"})
    with pytest.raises(ConfigError, match="'kv' cannot be held to its limit cpu: there is no clock; leave"):
        Launch(["./kv"], limits=Limits(cpu=1), runner=runner)


def test_a_limit_of_the_host_that_is_tighter_holds() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert limit_commands(Limits(files=hard + 1000)) == [f"ulimit -n {hard}"]


def ending(
    exit_code: int | None = None, signal_number: int | None = None, cpu: float = 0, memory: int = 0, words: str = ""
) -> tuple[ExitStatus, str]:
    return ExitStatus(exit_code, signal_number, cpu, memory), words


@pytest.mark.parametrize(
    ("limits", "facts", "told"),
    [
        (Limits(cpu=2), ending(signal_number=signal.SIGKILL, cpu=3.0), "CPU limit of 2 s"),
        (Limits(cpu=2), ending(signal_number=signal.SIGKILL, cpu=1.0), None),
        (Limits(memory=64 * MIB), ending(exit_code=2, words="fatal error: runtime: out of memory"), "of 64 MiB"),
        (Limits(memory=64 * MIB), ending(signal_number=signal.SIGABRT, memory=60 * MIB), "of 64 MiB"),
        (Limits(memory=64 * MIB), ending(exit_code=1, memory=30 * MIB, words="no database"), None),
        (Limits(memory=64 * MIB), ending(exit_code=0, memory=64 * MIB), None),
        (Limits(files=64), ending(exit_code=1, words="accept: too many open files"), "64 open files"),
        (Limits(), ending(exit_code=1, words="MemoryError: too many open files"), None),
    ],
)
def test_which_limit_ended_a_process_is_told_from_how_it_ended(
    limits: Limits, facts: tuple[ExitStatus, str], told: str | None
) -> None:
    said = limits.explain(*facts)
    assert said is None if told is None else said is not None and told in said


FAMILY = """
import os, sys

def wait(name):
    print(name, flush=True)
    sys.stdin.read()
    os._exit(0)

if os.fork() == 0:
    os.setsid()
    wait("a child that has left the group")
if (child := os.fork()) == 0:
    if os.fork() == 0:
        wait("a grandchild whose parent has ended")
    os._exit(0)
os.waitpid(child, 0)
wait("the leader")
"""


def test_a_counter_counts_children_that_have_left_the_group_or_lost_their_parent() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", FAMILY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0
    ) as leader:
        assert leader.stdout is not None
        assert len({leader.stdout.readline() for _ in range(3)}) == 3
        counter = ProcessCounter(leader.pid)
        assert len(counter) == 3
        counter.kill()
        assert leader.stdout.read() == b""  # Everybody who held the pipe has ended.
    assert leader.returncode == -signal.SIGKILL
