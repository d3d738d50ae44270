"""A runner that is not ours, and does not keep to its protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest

from plugmux import Launch, PluginCause, RestartPolicy, Runtime
from plugmux.runtime import LocalRunner, Run, Runner, State
from plugmux.runtime.logs.log import PluginLog
from support.programs import kv_program

ONCE = RestartPolicy(tries=0)


class Raising(Runner):
    """A runner whose runs raise where they are told to."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.run: Run | None = None

    async def start(self, launch: Launch, timeout: float, log: PluginLog) -> Run:
        if self.where == "start":
            raise RuntimeError("no more runs today")
        self.run = await LocalRunner().start(launch, timeout, log)
        return RaisingRun(self.run, self.where)


class RaisingRun:
    def __init__(self, run: Run, where: str) -> None:
        self._run = run
        self._where = where
        self._raised = False

    def __getattr__(self, name: str) -> Any:
        if name == self._where and not self._raised:
            self._raised = True
            return self._fail
        return getattr(self._run, name)

    async def _fail(self, *_: object) -> None:
        raise RuntimeError("no more runs today")


@pytest.mark.parametrize("where", ["start", "connect", "wait"])
async def test_what_a_runner_raises_is_the_plugins_failure_and_the_others_run_on(
    tmp_path: Path, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    runner = Raising(where)
    launches = [
        Launch([kv_program(tmp_path, "broken")], runner=runner, restart=ONCE),
        Launch([kv_program(tmp_path)]),
    ]
    async with Runtime(launches) as runtime:
        broken = runtime.plugin("broken")
        while broken.state is not State.GAVE_UP:
            await broken.changed()
        assert broken.error is not None
        assert broken.error.cause is PluginCause.RUNNER_FAILED
        assert "RuntimeError('no more runs today')" in str(broken.error)
        assert "Traceback" in caplog.text
        await runtime.client(KeyValueClient, plugin="kv").get(GetRequest(key="pid"), timeout=30)
    assert runner.run is None or not runner.run.running
