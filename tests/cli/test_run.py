"""`plugmux run`, as a process of its own, and the other commands as its clients."""

from __future__ import annotations

import base64
import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.forked import Forked

Start = Callable[..., Forked]


def first_line(process: Forked) -> str:
    return process.stderr.readline()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_it_says_where_it_listens_and_ends_in_order_at_a_signal(
    start: Start, plugin: Any, tmp_path: Path, number: signal.Signals
) -> None:
    process = start("--plugin", plugin("vault"), "--listen", f"unix:{tmp_path}/s")
    assert first_line(process) == f"listening on unix:{tmp_path}/s\n"
    process.send_signal(number)
    stdout, stderr = process.communicate()
    assert (process.returncode, stdout, stderr) == (0, "", "")
    assert not (tmp_path / "s").exists()


STAYING = """
import signal, time
from contextlib import asynccontextmanager
from plugmux import Plugin

@asynccontextmanager
async def lifespan(plugin):
    yield
    signal.signal(signal.SIGTERM, lambda *_: open({terminated!r}, "w").close())
    open({fifo!r}, "w").close()
    time.sleep(600)

Plugin(version="v1.0.0", lifespan=lifespan).run()
"""


def test_a_second_signal_kills_the_plugins_that_do_not_end(start: Start, program: Any, tmp_path: Path) -> None:
    ending = tmp_path / "ending"
    os.mkfifo(ending)
    terminated = tmp_path / "terminated"
    staying = program("staying", STAYING.format(fifo=str(ending), terminated=str(terminated)))
    process = start("--plugin", staying, "--listen", f"unix:{tmp_path}/s")
    assert first_line(process) == f"listening on unix:{tmp_path}/s\n"
    process.send_signal(signal.SIGINT)
    ending.open().close()  # It has been asked to end, and does not.
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 0
    assert not terminated.exists()  # Without the second signal it would have been asked to terminate first.


def test_an_interrupt_kills_what_a_command_has_launched_and_waits_for(program: Any, tmp_path: Path) -> None:
    ending = tmp_path / "ending"
    os.mkfifo(ending)
    terminated = tmp_path / "terminated"
    staying = program("staying", STAYING.format(fifo=str(ending), terminated=str(terminated)))
    command = [sys.executable, "-m", "plugmux.cli", "plugins", "--plugin", staying]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        ending.open().close()  # It has been asked to end, and does not.
        process.send_signal(signal.SIGINT)
        listed, _ = process.communicate()
    assert (process.returncode, listed.split("\t")[:3]) == (0, ["staying", "v1.0.0", "running"])
    assert not terminated.exists()  # Without the signal it would have been asked to terminate first.


def test_a_signal_while_a_plugin_starts_ends_it_at_once(start: Start, program: Any, tmp_path: Path) -> None:
    started = tmp_path / "started"
    os.mkfifo(started)
    slow = program("slow", f"open({str(started)!r}, 'w').close()\nimport signal\nsignal.pause()\n")
    process = start("--plugin", slow, "--listen", f"unix:{tmp_path}/s")
    started.open().close()
    process.terminate()
    stdout, stderr = process.communicate()
    assert (process.returncode, stdout) == (0, "")
    assert "listening" not in stderr
    assert not (tmp_path / "s").exists()


def test_the_default_socket_is_private_and_found_by_every_command(
    start: Start, plugmux: Any, plugin: Any, tmp_path: Path
) -> None:
    path = tmp_path / "cache" / "plugmux" / "runtime.sock"
    process = start("--plugin", plugin("vault"))
    assert first_line(process) == f"listening on unix:{path}\n"
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert plugmux("plugins").lines == ["vault\tv1.2.3\trunning\tvault/**,kv.v1.KeyValueService"]
    assert plugmux("get", "vault/b").stdout == b"two"


def test_the_variable_overrides_the_default_for_every_command(
    start: Start, plugmux: Any, plugin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"unix:@plugmux-test-{os.getpid()}"
    monkeypatch.setenv("PLUGMUX_SOCKET", address)
    process = start("--plugin", plugin("vault"))
    assert first_line(process) == f"listening on {address}\n"
    assert plugmux("get", "vault/b").stdout == b"two"


def test_clients_get_from_a_runtime_what_they_get_from_plugins_of_their_own(
    start: Start, plugmux: Any, plugin: Any, tmp_path: Path
) -> None:
    addresses = [f"unix:{tmp_path}/s1", f"unix:{tmp_path}/s2"]
    process = start("--plugin", plugin("one"), "--plugin", plugin("two"), *(f"--listen={each}" for each in addresses))
    assert [first_line(process) for _ in addresses] == [f"listening on {each}\n" for each in addresses]
    connect, launch = ["--connect", addresses[1]], ["--plugin", plugin("one"), "--plugin", plugin("two")]
    commands = [
        ["get", "one/a"],
        ["get", "one/*"],
        ["get", "three/a"],
        ["get", "three/a", "--json"],
        ["get", "one/a", "--explain"],
        ["get", "three/*", "--explain", "--json"],
        ["plugins"],
        ["plugins", "--json"],
        ["call", "kv.v1.KeyValueService/Get"],
        ["call", "kv.v1.KeyValueService/Get", "{}", "--name", "two"],
        ["call", "kv.v1.KeyValueService/Watch", "{}", "--name", "two"],
        ["call", "kv.v1.KeyValueService/Watch", '{"key": "broken"}', "--name", "one"],
        ["call", "kv.v1.KeyValueService/Get", '{"key": "missing"}', "--name", "one"],
    ]
    for command in commands:
        assert plugmux(*command, *connect) == plugmux(*command, *launch), command


def test_the_runtimes_own_services_can_be_called(start: Start, plugmux: Any, plugin: Any, tmp_path: Path) -> None:
    process = start("--plugin", plugin("vault"), "--listen", f"unix:{tmp_path}/s")
    first_line(process)
    ran = plugmux("call", "--connect", f"unix:{tmp_path}/s", "plugins.v1.PluginManagementService/ListPlugins")
    (listed,) = json.loads(ran.stdout)["plugins"]
    assert (listed["name"], listed["runStatus"]) == ("vault", "RUN_STATUS_RUNNING")


def test_a_module_that_is_named_and_a_socket_that_is_narrowed_are_kept_to(
    start: Start, plugmux: Any, plugin: Any, tmp_path: Path
) -> None:
    connect = ["--connect", f"unix:{tmp_path}/s"]
    uses = ["--socket-use=secrets", "--socket-use=observe"]
    process = start("--plugin", plugin("vault"), "--listen", f"unix:{tmp_path}/s", "--access-control=guard", *uses)
    first_line(process)
    ran = plugmux("get", "vault/b", *connect)
    assert (ran.status, ran.stdout) == (1, b"")
    assert "access-control plugin guard: it has not registered" in ran.stderr
    assert plugmux("plugins", *connect).status == 0
    ran = plugmux("plugins", "disable", "vault", *connect)
    assert "closed its sockets to this use: 'manage'" in ran.stderr


def test_a_proxy_that_is_no_address_is_wrong_usage(plugmux: Any) -> None:
    ran = plugmux("run", "--proxy", "proxy.example")
    assert (ran.status, ran.stdout) == (2, b"")
    assert "'proxy.example' does not appear to be an IPv4 or IPv6 network; write an address" in ran.stderr
    assert "a proxy (--proxy, or proxies in the file of --config-file)" in ran.stderr


def test_plugins_are_switched(start: Start, plugmux: Any, plugin: Any, tmp_path: Path) -> None:
    process = start("--plugin", plugin("vault"), "--listen", f"unix:{tmp_path}/s")
    first_line(process)
    connect = ["--connect", f"unix:{tmp_path}/s"]

    def pid_and_state() -> tuple[int, str]:
        ran = plugmux("call", *connect, "plugins.v1.PluginManagementService/ListPlugins")
        (listed,) = json.loads(ran.stdout)["plugins"]
        return listed.get("pid", 0), listed["state"]

    before = pid_and_state()
    for action, expected in (("disable", "disabled"), ("enable", "running"), ("restart", "running")):
        ran = plugmux("plugins", action, "vault", *connect)
        assert (ran.status, ran.stdout, ran.stderr) == (0, b"", "")
        after = pid_and_state()
        assert after[1] == expected
        assert after[0] != before[0]
        before = after
    ran = plugmux("plugins", "enable", "nobody", *connect)
    assert (ran.status, ran.stdout) == (1, b"")
    assert "there is no plugin of that name" in ran.stderr


def test_what_plugins_does_not_take_is_blamed_and_not_what_follows_it(plugmux: Any) -> None:
    ran = plugmux("plugins", "--plugin-dir", "nope")
    assert (ran.status, ran.stdout) == (2, b"")
    assert ran.stderr.endswith("error: unrecognized arguments: --plugin-dir\n")
    ran = plugmux("plugins", "stop", "vault")
    assert (ran.status, ran.stdout) == (2, b"")
    assert "plugins does not know 'stop': it takes enable, disable, restart, or lists them all" in ran.stderr


def test_a_directory_of_plugins_is_launched(start: Start, plugmux: Any, plugin: Any, tmp_path: Path) -> None:
    directory = tmp_path / "plugins"
    directory.mkdir()
    for name in ("a-plugin", "b-plugin"):
        plugin(name)
        (tmp_path / name).rename(directory / name)
    (directory / "readme").write_text("not executable")
    process = start("--plugin-dir", str(directory), "--listen", f"unix:{tmp_path}/s")
    first_line(process)
    assert [line.split("\t")[0] for line in plugmux("plugins", "--connect", f"unix:{tmp_path}/s").lines] == [
        "a-plugin",
        "b-plugin",
    ]


def test_a_second_runtime_at_the_same_address_fails_and_leaves_the_first_alone(
    start: Start, plugmux: Any, tmp_path: Path
) -> None:
    address = f"unix:{tmp_path}/s"
    process = start("--listen", address)
    first_line(process)
    second = start("--listen", address)
    _, stderr = second.communicate()
    assert second.returncode == 1
    assert stderr.splitlines()[0] == (
        f"plugmux: a runtime listens at {address} already; stop it or choose another address"
    )
    assert plugmux("plugins", "--connect", address).status == 0


CONFIGURED = """\
from dataclasses import dataclass
from kv.v1.kv_connect import KeyValueService
from kv.v1.kv_pb2 import GetResponse
from plugmux import Plugin
from plugmux.plugin import Configured

@dataclass
class Settings:
    region: str = "none"

settings = Configured(Settings)

class Store(KeyValueService):
    async def get(self, request, context):
        return GetResponse(value=b"%s " + settings.value.region.encode())

Plugin(Store(), version="v%s", configuration=settings).run()
"""


def install(path: Path, program: Any, version: str) -> None:
    """Put the plugin "store" into a directory of plugins, at once, in a version."""
    made = Path(program(f"store-{version}", CONFIGURED % (version, version)))
    directory = path / "store" / version
    directory.mkdir(parents=True)
    made.rename(directory / "store")


def said(plugmux: Any, address: str) -> bytes:
    ran = plugmux("call", "--connect", address, "kv.v1.KeyValueService/Get")
    return base64.b64decode(json.loads(ran.stdout)["value"])


def test_a_plugin_is_found_by_name_and_version_and_given_its_configuration(
    start: Start, plugmux: Any, program: Any, tmp_path: Path
) -> None:
    path, address = tmp_path / "installed", f"unix:{tmp_path}/s"
    for version in ("1.2.0", "1.3.0", "2.0.0"):
        install(path, program, version)
    (tmp_path / "store.json").write_text('{"region": "eu"}')
    process = start(
        "--plugin=store@^1.2", f"--plugin-path={path}", f"--config=store={tmp_path}/store.json", f"--listen={address}"
    )
    first_line(process)
    assert said(plugmux, address) == b"1.3.0 eu"


def test_a_newer_version_is_picked_up_while_it_runs(start: Start, plugmux: Any, program: Any, tmp_path: Path) -> None:
    path, address = tmp_path / "installed", f"unix:{tmp_path}/s"
    install(path, program, "1.2.0")
    process = start("--plugin=store@^1.2", f"--plugin-path={path}", "--watch=0.05", f"--listen={address}")
    first_line(process)
    assert said(plugmux, address) == b"1.2.0 none"
    install(path, program, "1.4.0")
    while said(plugmux, address) != b"1.4.0 none":
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "--config {file}: "),
        ("[" * 100_000, "--config {file}: "),
        ("{", "--config {file}: "),
        ("[1]", "--config {file}: the file holds no JSON object"),
    ],
)
def test_a_configuration_that_is_none_is_refused_before_anything_is_started(
    start: Start, tmp_path: Path, content: str | None, told: str
) -> None:
    file = tmp_path / "store.json"
    if content is not None:
        file.write_text(content)
    process = start("--plugin=/nowhere/store", f"--config=store={file}", f"--listen=unix:{tmp_path}/s")
    _, stderr = process.communicate()
    assert process.returncode == 2
    assert told.format(file=file) in stderr
    assert not (tmp_path / "s").exists()


def test_a_bad_configuration_is_told_and_the_other_plugins_run(
    start: Start, plugmux: Any, plugin: Any, program: Any, tmp_path: Path
) -> None:
    store = program("store", CONFIGURED % ("", "1.0.0"))
    (tmp_path / "store.json").write_text('{"region": 1}')
    address, config = f"unix:{tmp_path}/s", f"--config=store={tmp_path}/store.json"
    process = start("--plugin", store, "--plugin", plugin("vault"), config, "--listen", address)
    told = "".join(iter(process.stderr.readline, f"listening on {address}\n"))
    assert "'store'" in told
    assert "bad at /region: it must be of the type string" in told
    assert plugmux("get", "vault/b", "--connect", address).stdout == b"two"
