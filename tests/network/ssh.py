"""Plugins that a runtime starts by ssh, through an sshd of the test's own. (`make ssh`)"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest, PutRequest

from plugmux import Launch, Runtime
from plugmux.contract.launch import VARIABLE
from plugmux.runners import JoinPoint, RemoteRunner
from plugmux.runtime import State
from support.joining import elsewhere
from support.remote import until
from support.tools import LANGUAGES, go_plugin, tool

SSHD = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/own.pub
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
PasswordAuthentication no
PidFile none
"""


@pytest.fixture
def via(tmp_path: Path) -> Iterator[list[str]]:
    """The command that leads to the shell of the machine behind sshd."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for key in ("host", "own"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / key], check=True)
    public = (tmp_path / "host.pub").read_text()
    (tmp_path / "known").write_text(f"[127.0.0.1]:{port} {public}")
    (tmp_path / "sshd_config").write_text(SSHD.format(port=port, folder=tmp_path))
    Path("/run/sshd").mkdir(exist_ok=True)
    log = (tmp_path / "sshd.log").open("wb")
    server = subprocess.Popen([tool("sshd"), "-D", "-e", "-f", tmp_path / "sshd_config"], stderr=log)
    options = ("BatchMode=yes", f"UserKnownHostsFile={tmp_path}/known", "IdentitiesOnly=yes")
    words = [word for option in options for word in ("-o", option)]
    command = ["ssh", "-F", "/dev/null", *words, "-i", str(tmp_path / "own"), "-p", str(port), "root@127.0.0.1", "sh"]
    try:
        end = time.monotonic() + 60
        while subprocess.run([*command, "-c", "true"], capture_output=True, stdin=subprocess.DEVNULL).returncode:
            assert time.monotonic() < end, (tmp_path / "sshd.log").read_text()
            time.sleep(0.1)
        yield command
    finally:
        server.terminate()
        server.wait(60)
        log.close()


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_plugin_is_started_by_ssh_and_called(language: str, via: list[str]) -> None:
    async with Runtime([elsewhere(language, JoinPoint("tls://127.0.0.1:0"), via)]) as runtime:
        kv = runtime.client(KeyValueClient)
        await kv.put(PutRequest(key="a", value=b"x" * 300_000))
        assert (await kv.get(GetRequest(key="a"))).value == b"x" * 300_000
        await runtime.restart("kv")
        await kv.put(PutRequest(key="a", value=b"2"))


async def test_what_ssh_has_started_is_alone_and_ends(via: list[str], tmp_path: Path) -> None:
    program = tmp_path / "kv"
    shutil.copy(go_plugin()[0], program)
    runner = RemoteRunner(via, JoinPoint("tls://127.0.0.1:0"))
    async with Runtime([Launch([str(program)], name="kv", runner=runner)]) as runtime:
        plugin = runtime.plugin("kv")
        await until(lambda: plugin.state is State.RUNNING)
        (first,) = processes_of(program)
        link = plugin._record.link
        assert link is not None
        link.abort()  # The plugin links again, and goes on.
        await until(lambda: plugin.state is State.RUNNING and plugin._record.link is not link)
        assert processes_of(program) == [first]
        for pid in commands("ssh", str(tmp_path / "own")):
            os.kill(pid, signal.SIGKILL)  # The plugin is told that its run has ended, and another is started.
        await until(lambda: plugin.restarts == 1 and plugin.state is State.RUNNING)
        await until(lambda: len(processes_of(program)) == 1)
        assert processes_of(program) != [first]
        await runtime.client(KeyValueClient).put(PutRequest(key="a", value=b"1"))
    await until(lambda: not processes_of(program))


async def test_a_token_stands_in_no_list_of_processes(via: list[str], tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    script = f"cat /proc/[0-9]*/cmdline > {seen}; exec {go_plugin()[0]}"
    runner = RemoteRunner(via, JoinPoint("tls://127.0.0.1:0"))
    async with Runtime([Launch(["sh", "-c", script], name="kv", runner=runner)]) as runtime:
        await until(lambda: runtime.plugin("kv").state is State.RUNNING)
        listed = seen.read_bytes()
        assert b"ssh" in listed
        assert b'"token"' not in listed
        assert VARIABLE.encode() not in listed


def processes_of(program: Path) -> list[int]:
    """The processes that run a program."""
    found = []
    for link in Path("/proc").glob("[0-9]*/exe"):
        with suppress(OSError):
            if os.readlink(link) == str(program):
                found.append(int(link.parent.name))
    return found


def commands(name: str, argument: str) -> list[int]:
    """The processes of a name that have an argument."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = file.read_bytes().decode(errors="replace").split("\0")
            if Path(words[0]).name == name and argument in words:
                found.append(int(file.parent.name))
    return found
