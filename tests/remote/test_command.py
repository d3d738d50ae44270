"""The command line and plugin programs over TLS: certificates of `plugmux pki`, and links both ways."""

from __future__ import annotations

import contextlib
import io
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from plugmux.cli import main
from support.forked import Forked

PLUGIN = """\
from kv.v1.kv_connect import KeyValueService
from kv.v1.kv_pb2 import GetResponse
from plugmux import Plugin
from plugmux.secrets import Provider, Secret

class Secrets(Provider):
    pattern = "kv/**"

    async def get_secrets(self, pattern):
        yield Secret(id="kv/a", value=b"one")

class Store(KeyValueService):
    async def get(self, request, context):
        return GetResponse(value=request.key.encode())

Plugin(Secrets(), Store(), name="kv", version="v1.2.3").run()
"""


def in_process(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command that opens no link in this process: it is the same, and starts at once."""
    words = [str(argument) for argument in arguments]
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as errors:
        status = main(words)
    return subprocess.CompletedProcess(words, status, out.getvalue(), errors.getvalue())


def plugmux(*arguments: object, tls: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own: it opens links."""
    process = Forked(*map(str, arguments), environ={"PLUGMUX_TLS_DIR": str(tls)} if tls else {})
    out, errors = process.communicate()
    assert process.returncode is not None
    return subprocess.CompletedProcess([str(each) for each in arguments], process.returncode, out, errors)


@contextlib.contextmanager
def running(*command: object, **environ: object) -> Iterator[subprocess.Popen[str]]:
    variables = os.environ | {name: str(value) for name, value in environ.items()}
    process = subprocess.Popen(
        [sys.executable, *map(str, command)],
        stderr=subprocess.PIPE,
        text=True,
        env=variables,
        stdout=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=60)


def line_with(process: subprocess.Popen[str], words: str) -> str:
    """The first line of its stderr that has these words."""
    assert process.stderr is not None
    for line in process.stderr:
        if words in line:
            return line.strip()
    raise AssertionError(f"the process has ended and has not said {words!r}")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA, and certificates for a runtime, a plugin and an operator."""
    folder = tmp_path_factory.mktemp("command") / "pki"
    made = in_process("pki", "init", folder, "--trust-domain", "prod")
    assert made.stdout.startswith("sha256:"), made.stderr
    for name in ("runtime", "kv", "operator"):
        assert in_process("pki", "issue", folder, name, "--host", "127.0.0.1").returncode == 0
    return folder


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "store.py"
    path.write_text(PLUGIN)
    return path


def test_keys_are_for_their_owner_alone(certificates: Path) -> None:
    for key in (certificates / "ca.key", certificates / "kv" / "tls.key"):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_show_tells_who_a_certificate_is_for(certificates: Path) -> None:
    (shown,) = json.loads(in_process("pki", "show", certificates / "kv" / "tls.crt", "--json").stdout)
    assert shown["identity"] == "spiffe://prod/kv"
    assert shown["names"] == ["URI:spiffe://prod/kv", "IP Address:127.0.0.1"]
    assert not shown["ca"]
    assert "identity\tspiffe://prod/kv" in in_process("pki", "show", certificates / "kv" / "tls.crt").stdout


def test_a_ca_is_not_replaced(certificates: Path) -> None:
    again = in_process("pki", "init", certificates)
    assert again.returncode == 2
    assert "exists already" in again.stderr


def test_a_plugin_dials_and_operators_are_let_in_by_their_identity(certificates: Path, plugin: Path) -> None:
    listen = ("--listen", "tls://127.0.0.1:0", "--tls", certificates / "runtime")
    allow = [f"--allow=spiffe://prod/operator={what}" for what in ("kv.v1.*", "observe", "secrets:kv/**")]
    with running("-m", "plugmux.cli", "run", *listen, *allow) as runtime:
        address = line_with(runtime, "listening on").rpartition(" ")[2]
        with running(plugin, PLUGMUX_SOCKET=address, PLUGMUX_TLS_DIR=certificates / "kv"):
            operator = certificates / "operator"
            events = Forked("events", "--connect", address, "--json", "--tls", str(operator))
            told = next((told for told in map(json.loads, events.stdout) if told["state"] == "running"), None)
            events.terminate()
            events.communicate()
            assert told is not None
            assert told["identity"] == "spiffe://prod/kv"
            (listed,) = json.loads(plugmux("plugins", "--json", "--connect", address, tls=operator).stdout)
            assert listed["identity"] == "spiffe://prod/kv"
            assert listed["address"].startswith("127.0.0.1:")
            called = plugmux("call", "--connect", address, "kv.v1.KeyValueService/Get", '{"key": "x"}', tls=operator)
            assert json.loads(called.stdout) == {"value": "eA=="}, called.stderr
            assert plugmux("get", "kv/a", "--connect", address, tls=operator).stdout == "one"
            refused = plugmux("get", "other/a", "--connect", address, tls=operator)
            assert "has not granted other/a" in refused.stderr
            other = plugmux("plugins", "--connect", address, tls=certificates / "kv")
            assert other.returncode == 1
            assert "spiffe://prod/kv may not call /plugins.v1.PluginManagementService/ListPlugins" in other.stderr


def test_a_plugin_listens_and_the_command_dials(certificates: Path, plugin: Path) -> None:
    with running(plugin, "--listen", "tls://127.0.0.1:0", PLUGMUX_TLS_DIR=certificates / "kv") as listening:
        address = line_with(listening, "listens at").rpartition(" ")[2]
        runtime = certificates / "runtime"
        called = plugmux("call", "--plugin", f"kv={address}", "kv.v1.KeyValueService/Get", '{"key": "x"}', tls=runtime)
        assert json.loads(called.stdout) == {"value": "eA=="}, called.stderr
        stranger = plugmux("plugins", "--plugin", f"kv={address}", tls=certificates / "operator")
        assert stranger.returncode == 1
        assert "unreachable" in stranger.stdout


def test_without_a_certificate_the_command_says_what_is_needed(certificates: Path) -> None:
    ran = in_process("plugins", "--connect", "tls://127.0.0.1:1")
    assert "needs a certificate: set PLUGMUX_TLS_DIR" in ran.stderr
    assert "has no TLS and leaves this machine" in in_process("plugins", "--connect", "tcp://10.0.0.1:1").stderr
