"""A plugin that does not start gives an error that names it, the reason and its last words; the others run on."""

from __future__ import annotations

import signal
import struct
import traceback
from pathlib import Path
from typing import Any

import pytest
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest

from plugmux import Launch, PluginCause, PluginError, Policies, Runtime, Timeouts
from plugmux.connect import Code, RpcError
from plugmux.runtime import Limits, State
from support.programs import kv_program, script

pytestmark = pytest.mark.usefixtures("watching")


async def error_of(source: str | Launch, **options: Policies) -> PluginError:
    """Run one plugin that fails, and return why."""
    async with Runtime([source], **options) as runtime:  # type: ignore[arg-type]  # values of several types
        (plugin,) = runtime.plugins()
        assert plugin.state is State.GAVE_UP
        assert plugin.error is not None
        assert plugin.error.plugin == plugin.name
        return plugin.error


async def test_a_missing_program(tmp_path: Path) -> None:
    error = await error_of(str(tmp_path / "absent"))
    assert error.cause is PluginCause.NOT_FOUND
    assert "'absent'" in str(error)
    assert str(tmp_path / "absent") in str(error)


async def test_a_missing_directory(tmp_path: Path) -> None:
    error = await error_of(Launch([kv_program(tmp_path)], cwd=tmp_path / "absent"))
    assert error.cause is PluginCause.NOT_FOUND


async def test_a_file_that_is_not_executable(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("text")
    error = await error_of(str(tmp_path / "plain"))
    assert error.cause is PluginCause.NOT_EXECUTABLE
    assert "chmod +x" in str(error)


async def test_a_directory_in_place_of_a_program(tmp_path: Path) -> None:
    error = await error_of(str(tmp_path))
    assert error.cause is PluginCause.NOT_FOUND
    assert "is not a file" in str(error)


async def test_a_program_for_another_machine(tmp_path: Path) -> None:
    alien = tmp_path / "alien"
    alien.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHI", 2, 0xFFFF, 1) + bytes(40))
    alien.chmod(0o755)
    error = await error_of(str(alien))
    assert error.cause is PluginCause.WRONG_ARCHITECTURE


BEHIND_A_SHELL: dict[str, dict[str, Any]] = {
    "alone": {},
    "with limits": {"limits": Limits(files=64)},
    "in a directory": {"cwd": "/"},
}
"""What a shell has to do before the program begins."""


@pytest.mark.parametrize("options", BEHIND_A_SHELL)
async def test_a_script_whose_interpreter_is_missing(tmp_path: Path, options: str) -> None:
    program = script(tmp_path, "kv", "", interpreter="/nowhere/python")
    error = await error_of(Launch([program], **BEHIND_A_SHELL[options]))
    assert error.cause is PluginCause.MISSING_INTERPRETER
    assert "/nowhere/python" in str(error)


@pytest.mark.parametrize("options", BEHIND_A_SHELL)
async def test_a_script_without_a_first_line(tmp_path: Path, options: str) -> None:
    (tmp_path / "bare").write_text("print('no first line')\n")
    (tmp_path / "bare").chmod(0o755)
    error = await error_of(Launch([str(tmp_path / "bare")], **BEHIND_A_SHELL[options]))
    assert error.cause is PluginCause.MISSING_INTERPRETER


async def test_a_program_that_exits_at_once(tmp_path: Path) -> None:
    error = await error_of(script(tmp_path, "kv", "import sys; sys.exit('no database')"))
    assert error.cause is PluginCause.EXITED
    assert error.exit_code == 1
    assert error.signal_number is None
    assert "exited with status 1 before it had registered" in str(error)
    assert error.stderr == "no database"
    assert "no database" in str(error)


async def test_a_program_that_is_ended_by_a_signal(tmp_path: Path) -> None:
    error = await error_of(script(tmp_path, "kv", "import os; os.kill(os.getpid(), 9)"))
    assert error.cause is PluginCause.EXITED
    assert error.signal_number == signal.SIGKILL
    assert "SIGKILL" in str(error)
    assert "and wrote nothing on stderr; see its log for why it ended" in str(error)


async def test_a_program_that_never_registers(tmp_path: Path) -> None:
    error = await error_of(
        script(tmp_path, "kv", "import time; time.sleep(3600)"), policies=Policies(timeouts=Timeouts(registration=0.3))
    )
    assert error.cause is PluginCause.LATE
    assert "0.3 s" in str(error)


async def test_a_plugin_has_a_time_limit_of_its_own(tmp_path: Path) -> None:
    program = script(tmp_path, "kv", "import time; time.sleep(3600)")
    assert (await error_of(Launch([program], timeout=0.2))).cause is PluginCause.LATE


async def test_a_program_that_writes_garbage_on_the_link(tmp_path: Path) -> None:
    error = await error_of(script(tmp_path, "kv", "import os, time; os.write(3, b'hello, host' * 9); time.sleep(3600)"))
    assert error.cause is PluginCause.NOT_A_PLUGIN


RAW_REGISTRATION = """
    import asyncio, os
    from plugmux.contract.launch import LaunchConfig
    from plugmux.link.link import Link, Peer
    from plugmux.link.app import LinkApp
    from plugmux_proto.plugins.v1.plugins_connect import RegisterClient
    from plugmux_proto.plugins.v1.plugins_pb2 import RegisterPluginRequest
    import socket

    async def main():
        config = LaunchConfig.take_from(os.environ)
        link = Link(LinkApp(), initiator=True, peer=Peer("host"))
        await link.over_socket(socket.socket(fileno=config.read_fd))
        request = RegisterPluginRequest(**{"name": config.name, "version": "v1.0.0", **OPTIONS["request"]})
        try:
            await link.client(RegisterClient).register_plugin(request)
        except Exception as error:
            print(error.code, error.message)
        await link.wait_closed()

    asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("request_fields", "told"),
    [
        ({"name": "other"}, "plugin name cannot be changed when launched by engine"),
        ({"version": "1.0"}, "semantic version"),
        ({"secrets_provider": {"pattern": "a*b"}}, "pattern 'a\\*b'"),
        ({"services": ["not a name"]}, "not a proto name"),
        ({"protocol_versions": [7]}, "upgrade the host"),
    ],
)
async def test_a_registration_that_is_refused(tmp_path: Path, request_fields: dict[str, object], told: str) -> None:
    error = await error_of(script(tmp_path, "kv", RAW_REGISTRATION, request=request_fields))
    assert error.cause is PluginCause.REFUSED
    with pytest.raises(PluginError, match=told):
        raise error


async def test_the_other_plugins_run_on_and_calls_tell_the_reason(tmp_path: Path) -> None:
    good = kv_program(tmp_path, "good")
    bad = script(tmp_path, "bad", "import sys; sys.exit('no database')")
    async with Runtime([bad, good]) as runtime:
        assert [plugin.state for plugin in runtime.plugins()] == [State.GAVE_UP, State.RUNNING]
        assert (await runtime.client(KeyValueClient).get(GetRequest(key="pid"))).value
        with pytest.raises(RpcError, match="no database") as caught:
            await runtime.client(KeyValueClient, plugin="bad").get(GetRequest(key="pid"))
        assert caught.value.code is Code.UNAVAILABLE


@pytest.mark.parametrize("plugin", [None, "bad"])
async def test_a_traceback_is_shown_by_the_log_and_by_the_error_and_not_by_its_causes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, plugin: str | None
) -> None:
    async with Runtime([script(tmp_path, "bad", "raise RuntimeError('no ' + 'database')")]) as runtime:
        with pytest.raises(RpcError, match="RuntimeError: no database") as caught:
            await runtime.client(KeyValueClient, plugin=plugin).get(GetRequest(key="pid"))
        with pytest.raises(PluginError, match="RuntimeError: no database"):
            raise runtime.plugin("bad").error or AssertionError
    shown = "".join(traceback.format_exception(caught.value))
    assert (caplog.text.count("RuntimeError: no database"), shown.count("RuntimeError: no database")) == (1, 1)
    assert isinstance(caught.value.__cause__, PluginError)
    assert "RuntimeError: no database" in caught.value.__cause__.stderr


async def test_adding_a_plugin_that_fails_raises_and_keeps_nothing(tmp_path: Path) -> None:
    async with Runtime() as runtime:
        with pytest.raises(PluginError) as caught:
            await runtime.launch(script(tmp_path, "bad", "import sys; sys.exit(3)"))
        assert caught.value.exit_code == 3
        assert runtime.plugins() == []
