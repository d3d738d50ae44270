"""The commands of docs/remote.md, typed on two machines of a network. (`make network`)"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from network.namespaces import Host, Network, Process, network, wait_until
from support.pages import all_examples

RUNTIME, PLUGIN = "10.0.0.1", "10.0.0.2"
"""The machines of the page."""

KV = f"""#!{sys.executable}
from kv.v1.kv_connect import KeyValueService
from kv.v1.kv_pb2 import GetResponse
from plugmux import Plugin

class Store(KeyValueService):
    async def get(self, request, context):
        return GetResponse(value=request.key.encode())

Plugin(Store()).run()
"""
LIST = "plugmux plugins --connect unix:$HOME/plugmux.sock"
VALUE = {"value": "YQ=="}


class Machines:
    """The machine where the certificates are made, and the two of the page, each with a home of its own."""

    def __init__(self, net: Network, folder: Path) -> None:
        self.net, self.folder = net, folder
        self.hosts = dict(zip((RUNTIME, PLUGIN), net.hosts, strict=True))
        for name in ("here", RUNTIME, PLUGIN):
            (folder / name).mkdir()
        program = folder / PLUGIN / "kv"
        program.write_text(KV)
        program.chmod(0o755)

    def command(self, line: str) -> str:
        """A line of the page with the addresses of this network."""
        for address, host in self.hosts.items():
            line = line.replace(address, host.address)
        return line

    def type(self, at: str, line: str) -> str:
        """Type a line on a machine, and wait for its end."""
        where: list[str] = [] if at == "here" else ["ip", "netns", "exec", self.hosts[at].name]
        shell = [*where, "sh", "-c", self.command(line)]
        done = subprocess.run(
            shell,
            cwd=self.folder / at,
            env=os.environ | self.variables(at),
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, (line, done.stdout, done.stderr)
        return done.stdout

    def start(self, at: str, line: str) -> Process:
        """Type a line on a machine, and leave it running."""
        host: Host = self.hosts[at]
        directed = f"cd {self.folder / at} && exec env {self.command(line)}"
        return self.net.start(host, "sh", "-c", directed, **self.variables(at))

    def variables(self, at: str) -> dict[str, str]:
        """What the shell of a machine knows: its home, and where `plugmux` is."""
        return {"HOME": str(self.folder / at), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    with network(tmp_path, 2) as net:
        yield Machines(net, tmp_path)


def commands(text: str) -> list[tuple[str, str]]:
    """The machine and the line of each command."""
    found, at = [], "here"
    for line in text.splitlines():
        if line.startswith("# on "):
            at = line.removeprefix("# on ")
        elif line:
            found.append((at, line))
    return found


def test_what_the_page_says_works_as_it_is_typed(machines: Machines) -> None:
    shown = [commands(example.text) for example in all_examples("") if example.page == "docs/remote.md"]
    first = next(lines for lines in shown if lines[0][1].startswith("pip install"))
    other = next(lines for lines in shown if "--listen tls://0.0.0.0:7444" in lines[0][1])
    talk = next(lines for lines in shown if lines[0][1].startswith("printf"))
    assert len(first) <= 10
    for at, line in first:
        if line.startswith("pip"):
            continue  # It is installed.
        if copied := re.fullmatch(r"scp -r (\S+) ([^:]+):(\S*)", line):
            target = machines.folder / copied[2] / (copied[3] or Path(copied[1]).name)
            shutil.copytree(machines.folder / "here" / copied[1], target)
        elif line.startswith("plugmux run"):
            # What the page says in "Who may call what", for its last example.
            machines.type("here", "plugmux pki issue pki web")
            shutil.copytree(machines.folder / "here/pki/web", machines.folder / PLUGIN / "web")
            runtime = machines.start(at, f"{line} --allow spiffe://plugmux/web=kv.v1.KeyValueService")
            wait_until(partial(_has_said, runtime, "tls://0.0.0.0:7443"), "the runtime")
        elif line.endswith("./kv"):
            machines.start(at, line)
            wait_until(lambda: "kv" in machines.type(RUNTIME, LIST), "the plugin")
        elif line.startswith("plugmux call"):
            assert json.loads(machines.type(at, line)) == VALUE
        else:
            machines.type(at, line)
    health, called = [machines.type(PLUGIN, line) for _, line in talk]
    assert health.startswith("HTTP/1.1 200")
    assert json.loads(called) == VALUE
    (at, listen), (there, call) = other
    listening = machines.start(at, listen)
    wait_until(partial(_has_said, listening, "listens at"), "the plugin")
    assert json.loads(machines.type(there, call)) == VALUE


def _has_said(process: Process, words: str) -> bool:
    return words in process.said
