"""A plugin as a process: how it is started, what ends it, and that nothing keeps it from ending."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from plugmux import Plugin, Policies, Runtime, Timeouts
from plugmux.platform import open_process
from plugmux.runtime import State
from support.programs import KV_PLUGIN, script


def test_by_hand_it_says_what_it_is_and_exits_with_2(tmp_path: Path) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PLUGMUX_")}
    result = subprocess.run(
        [sys.executable, script(tmp_path, "kv", KV_PLUGIN)],
        env=environ,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert result.returncode == 2
    assert result.stdout == ""
    for told in (
        "kv v1.2.3 is a plugmux plugin",
        "kv.v1.KeyValueService",
        "plugmux plugins --plugin",
        "PLUGMUX_SOCKET",
    ):
        assert told in result.stderr
    assert "Traceback" not in result.stderr


def test_by_hand_it_names_a_command_that_can_be_typed(tmp_path: Path) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PLUGMUX_")}
    path = Path(script(tmp_path, "store.py", KV_PLUGIN))

    def told(*command: str) -> str:
        ran = subprocess.run(
            command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60, check=False
        )
        return ran.stderr

    assert "PLUGMUX_SOCKET=unix:/path ./store.py " in told("./store.py")
    path.chmod(0o600)
    assert "PLUGMUX_SOCKET=unix:/path python store.py " in told(sys.executable, "store.py")
    assert "--plugin store.py " in told(sys.executable, "store.py")
    path.rename(tmp_path / "store")
    assert "--plugin 'python store' " in told(sys.executable, "store")


@pytest.mark.parametrize("text", ["nonsense", '{"name": "kv", "timeout": 1000000000, "fd": 63}'])
def test_a_bad_launch_configuration_is_told_without_a_traceback(tmp_path: Path, text: str) -> None:
    result = subprocess.run(
        [sys.executable, script(tmp_path, "kv", KV_PLUGIN)],
        env={**os.environ, "PLUGMUX_PLUGIN_LAUNCH_CFG": text},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert result.returncode == 2
    assert "launch configuration" in result.stderr
    assert "Traceback" not in result.stderr


async def ended(runtime: Runtime) -> None:
    plugin = runtime.plugins()[0]
    while plugin.state is State.RUNNING:
        await plugin.changed()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_in_order(tmp_path: Path, number: signal.Signals) -> None:
    patient = Policies(timeouts=Timeouts(post_mortem=60))
    async with Runtime([script(tmp_path, "kv", KV_PLUGIN)], policies=patient) as runtime:
        (plugin,) = runtime.plugins()
        assert plugin.pid is not None
        os.kill(plugin.pid, number)
        await ended(runtime)
        assert plugin.error is not None
        assert plugin.error.exit_code == 0


STUBBORN = """
    import asyncio, threading, time
    from plugmux import Plugin

    async def timers():
        while True:
            await asyncio.sleep(0.01)

    class App:
        async def __call__(self, scope, receive, send):
            raise AssertionError

    threading.Thread(target=time.sleep, args=(3600,)).start()
    plugin = Plugin(app=App(), version="v1.0.0")
    plugin.run()
"""


async def test_a_vanished_runtime_ends_it_even_while_a_thread_runs(tmp_path: Path) -> None:
    async with Runtime([script(tmp_path, "stubborn", STUBBORN)]) as runtime:
        (plugin,) = runtime.plugins()
        assert plugin.link is not None
        assert plugin.pid is not None
        process = open_process(plugin.pid)
        gone = asyncio.Event()
        process.on_exit(gone.set)
        plugin.link.abort()
        try:
            async with asyncio.timeout(20):
                await gone.wait()
        finally:
            process.close()


WITH_CHILD = """
    import subprocess, sys
    from plugmux import Plugin
    child = None
    from kv.v1.kv_connect import KeyValueService
    from kv.v1.kv_pb2 import GetResponse

    class Parent(KeyValueService):
        async def get(self, request, context):
            code = "import os; print(sorted(os.listdir('/proc/self/fd')), [k for k in os.environ if 'LAUNCH_CFG' in k])"
            return GetResponse(value=subprocess.check_output([sys.executable, "-c", code], close_fds=False))

    Plugin(Parent(), version="v1.0.0").run()
"""


async def test_a_child_of_the_plugin_inherits_neither_the_link_nor_its_configuration(tmp_path: Path) -> None:
    from kv.v1.kv_connect import KeyValueClient
    from kv.v1.kv_pb2 import GetRequest

    async with Runtime([script(tmp_path, "parent", WITH_CHILD)]) as runtime:
        seen = (await runtime.client(KeyValueClient).get(GetRequest(key="a"))).value.decode()
    assert seen.strip() == "['0', '1', '2', '3'] []"  # 3 is the directory that is being listed


TALKATIVE = """
    import asyncio
    from contextlib import asynccontextmanager
    from kv.v1.kv_connect import AuditClient
    from kv.v1.kv_pb2 import RecordRequest
    from plugmux import Plugin

    @asynccontextmanager
    async def lifespan(plugin):
        audit = plugin.client(AuditClient)
        early = asyncio.create_task(audit.record(RecordRequest(event="once it has registered")))
        yield
        await early
        await audit.record(RecordRequest(event="at the end"))

    Plugin(version="v1.0.0", lifespan=lifespan).run()
"""


async def test_it_calls_the_host_as_soon_as_it_has_registered_and_when_it_is_shut_down(tmp_path: Path) -> None:
    from kv.v1.kv_connect import AuditService
    from kv.v1.kv_pb2 import RecordRequest, RecordResponse

    from plugmux.connect import Context

    events = []

    class Audit(AuditService):
        async def record(self, request: RecordRequest, context: Context) -> RecordResponse:
            events.append(request.event)
            return RecordResponse()

    async with Runtime([script(tmp_path, "talkative", TALKATIVE)], services=[Audit()]) as runtime:
        assert runtime.plugins()[0].state is State.RUNNING
    assert events == ["once it has registered", "at the end"]


@pytest.mark.parametrize(
    ("program", "name"),
    [
        ("/opt/vault-plugin", "vault-plugin"),
        ("plugins/kv.py", "kv"),
        ("/lib/cloud/__main__.py", "cloud"),
        ("kv.exe", "kv"),
    ],
)
def test_a_plugin_is_named_after_its_program(program: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [program])
    assert Plugin(version="v1.0.0").registration.name == name
