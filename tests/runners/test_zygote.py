"""Plugins that a zygote forks are plugins like others: what they print, how they end, what they may not inherit."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest

from plugmux import Launch, PluginError, RestartPolicy, Runtime
from plugmux.errors import StateError
from plugmux.platform import Program
from plugmux.runners import ZygoteRunner
from plugmux.runners.zygote import PID
from plugmux.runtime import State
from plugmux.runtime.process.limits import Limits
from support.programs import KV_PLUGIN
from support.resources import alive, gone

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="a zygote forks")

ONCE = RestartPolicy(tries=0)


def program(folder: Path, text: str = KV_PLUGIN) -> list[str]:
    """A plugin's program, as this interpreter runs it."""
    path = folder / "program.py"
    path.write_text("OPTIONS = {}\n" + textwrap.dedent(text))
    return [sys.executable, str(path)]


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


async def test_forked_plugins_serve_and_are_the_zygotes_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8")  # which plugins are not given
    async with ZygoteRunner(timeout=100) as zygote:
        launches = [Launch(program(tmp_path), name=f"kv{n}", runner=zygote) for n in range(3)]
        async with Runtime(launches) as runtime:
            for plugin in runtime.plugins():
                assert plugin.pid is not None
                assert parent(plugin.pid) != os.getpid()
                await runtime.client(KeyValueClient, plugin=plugin.name).get(GetRequest(key="pid"))
            pids = [plugin.pid for plugin in runtime.plugins()]
        assert not any(alive(pid) for pid in pids if pid)


def test_an_answer_that_comes_late_is_not_taken_for_that_to_the_next() -> None:
    runner = ZygoteRunner()
    program = Program(sys.executable, ["program.py"], runner._environ)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(0.05)
        runner._control = ours
        with pytest.raises(TimeoutError):
            runner._start_child(program, {})
        with pytest.raises(BrokenPipeError):
            theirs.sendall(PID.pack(1))
        with pytest.raises(OSError, match="the zygote has failed before, and is asked no more"):
            runner._start_child(program, {})


async def test_how_a_forked_plugin_ends_is_told(tmp_path: Path) -> None:
    text = "import sys\nprint('it will not do', file=sys.stderr)\nsys.exit(7)\n"
    async with ZygoteRunner(timeout=100) as zygote, Runtime() as runtime:
        with pytest.raises(PluginError, match="7") as raised:
            await runtime.launch(Launch(program(tmp_path, text), name="kv", runner=zygote, restart=ONCE))
        assert "it will not do" in str(raised.value)


async def test_a_forked_plugin_that_is_killed_starts_again(tmp_path: Path) -> None:
    async with ZygoteRunner(timeout=100) as zygote, Runtime() as runtime:
        plugin = await runtime.launch(Launch(program(tmp_path), name="kv", runner=zygote))
        before = plugin.pid
        assert before is not None
        os.kill(before, signal.SIGKILL)
        await gone(before)
        while plugin.pid == before or plugin.state is not State.RUNNING:
            await asyncio.sleep(0.01)
        await runtime.client(KeyValueClient).get(GetRequest(key="pid"))


async def test_a_forked_plugin_has_its_own_arguments_environment_and_directory(tmp_path: Path) -> None:
    text = "import os, sys\nsys.exit(' '.join([*sys.argv[1:], os.environ['ITS_OWN'], os.getcwd(), __name__]))\n"
    launch = Launch(
        [*program(tmp_path, text), "one"],
        name="kv",
        env={"ITS_OWN": "two"},
        cwd=tmp_path,
        restart=ONCE,
    )
    async with ZygoteRunner(timeout=100) as zygote, Runtime() as runtime:
        with pytest.raises(PluginError) as raised:
            await runtime.launch(
                Launch(launch.command, name="kv", env=launch.env, cwd=tmp_path, restart=ONCE, runner=zygote)
            )
    assert f"one two {tmp_path} __main__" in str(raised.value)


@pytest.mark.parametrize("how", ["limits", "variable"])
async def test_what_a_fork_cannot_give_starts_without_the_zygote(tmp_path: Path, how: str) -> None:
    async with ZygoteRunner(timeout=100) as zygote, Runtime() as runtime:
        plugin = await runtime.launch(
            Launch(
                program(tmp_path),
                name="kv",
                runner=zygote,
                limits=Limits(files=512) if how == "limits" else None,
                env={"PYTHONUTF8": "1"} if how == "variable" else {},
            )
        )
        assert plugin.pid is not None
        assert parent(plugin.pid) == os.getpid()


async def test_a_zygote_that_does_not_run_says_how_it_is_used(tmp_path: Path) -> None:
    async with Runtime() as runtime:
        with pytest.raises((StateError, PluginError), match="async with"):
            await runtime.launch(Launch(program(tmp_path), name="kv", runner=ZygoteRunner(timeout=100), restart=ONCE))


async def test_a_module_that_cannot_be_imported_is_told() -> None:
    with pytest.raises(StateError, match="stderr"):
        async with ZygoteRunner(["no_such_module"], timeout=100):
            pass


@pytest.mark.parametrize("first", [4, 19, 20, 40])
def test_descriptors_get_their_numbers_wherever_they_were(first: int) -> None:
    program = """
        import os, sys
        from plugmux.runners.zygote_host import place
        first = int(sys.argv[1])
        ends = [os.pipe() for _ in range(4)]
        for number, (read, write) in enumerate(ends):
            os.dup2(write, 100 + number)
            os.dup2(read, 200 + number)
        os.closerange(3, 100)
        for number in range(4):
            os.dup2(100 + number, first + number)
            os.close(100 + number)
        place(list(range(first, first + 4)), [0, 3, 5, 20])
        for target in (0, 3, 5, 20):
            os.write(target, b"%d" % target)
        told = [os.read(200 + number, 9).decode() for number in range(4)]
        still = [fd for fd in range(first, first + 4) if fd not in (0, 3, 5, 20)]
        for fd in still:
            try:
                os.fstat(fd)
            except OSError:
                continue
            told.append(f"{fd} is open")
        print(*told)
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(first)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "0 3 5 20\n"
