"""Hosts in network namespaces on one bridge, made by the test and removed by it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Host", "Network", "network"]

PREFIX = "10.78.0"
PATIENCE = 60.0


@dataclass(frozen=True)
class Host:
    """One host.

    Args:
        name: of its namespace.
        address: its IP address.
        device: its end of the bridge, in the namespace of the test.
    """

    name: str
    address: str
    device: str


class Process:
    """A program on a host, with what it has said on stderr."""

    def __init__(self, command: list[str], environ: dict[str, str], log: Path) -> None:
        self.log = log
        with log.open("ab") as out:
            self._process = subprocess.Popen(command, env=environ, stdout=out, stderr=out, stdin=subprocess.DEVNULL)

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def send(self, number: int) -> None:
        """Send a signal to the program, which has to run.

        Raises:
            AssertionError: it has ended.
        """
        assert not self.ended, f"it has ended: {self.said}"
        self._process.send_signal(number)

    def kill(self, number: int = signal.SIGKILL) -> None:
        self._process.send_signal(number)
        self._process.wait(PATIENCE)

    def end(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
            self._process.kill()
        self._process.wait(PATIENCE)


class Network:
    """A bridge, hosts on it, and the programs that run there.

    Args:
        folder: for the logs.
        hosts: how many.
    """

    def __init__(self, folder: Path, hosts: int) -> None:
        self.folder = folder
        self.gateway = f"{PREFIX}.254"
        self._tag = f"pm{os.getpid() % 10000}"
        self.hosts = [Host(f"{self._tag}n{i}", f"{PREFIX}.{i}", f"{self._tag}v{i}") for i in range(1, hosts + 1)]
        self._processes: list[Process] = []

    def up(self) -> None:
        remove_leftovers()
        bridge = f"{self._tag}br"
        run("ip", "link", "add", bridge, "type", "bridge")
        run("ip", "addr", "add", f"{self.gateway}/24", "dev", bridge)
        run("ip", "link", "set", bridge, "up")
        for host in self.hosts:
            run("ip", "netns", "add", host.name)
            run("ip", "link", "add", host.device, "type", "veth", "peer", "name", "eth0", "netns", host.name)
            run("ip", "link", "set", host.device, "master", bridge, "up")
            run("ip", "-n", host.name, "addr", "add", f"{host.address}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                run("ip", "-n", host.name, "link", "set", device, "up")
            resolver = Path("/etc/netns") / host.name
            resolver.mkdir(parents=True, exist_ok=True)
            (resolver / "resolv.conf").write_text(f"nameserver {self.gateway}\n")

    def add_address(self, number: int) -> str:
        """One more address of the host of the test."""
        address = f"{PREFIX}.{number}"
        run("ip", "addr", "add", f"{address}/24", "dev", f"{self._tag}br")
        return address

    def down(self) -> None:
        for process in self._processes:
            process.end()
        for host in self.hosts:
            # The kernel removes the namespace later, and its devices with it; the next network has the same names.
            subprocess.run(["ip", "link", "del", host.device], check=False, capture_output=True)
            subprocess.run(["ip", "netns", "del", host.name], check=False, capture_output=True)
            shutil.rmtree(Path("/etc/netns") / host.name, ignore_errors=True)
        subprocess.run(["ip", "link", "del", f"{self._tag}br"], check=False, capture_output=True)

    def start(self, host: Host | None, *command: object, **environ: object) -> Process:
        """Start a program on a host, or on that of the test."""
        words = list(map(str, command))
        if host is not None:
            words = ["ip", "netns", "exec", host.name, *words]
        variables = os.environ | {name: str(value) for name, value in environ.items()}
        process = Process(words, variables, self.folder / f"{len(self._processes)}-{Path(words[-1]).name[:20]}.log")
        self._processes.append(process)
        return process

    def python(self, host: Host | None, *arguments: object, **environ: object) -> Process:
        """Start a Python program on a host."""
        return self.start(host, sys.executable, *arguments, **environ)

    def cut(self, host: Host) -> None:
        """Take a host off the network: what it sends is lost, and nobody is told."""
        run("ip", "link", "set", host.device, "nomaster")

    def mend(self, host: Host) -> None:
        """Put a host on the network again."""
        run("ip", "link", "set", host.device, "master", f"{self._tag}br")

    def nft(self, host: Host, rules: str) -> None:
        """Set the packet filter of a host; no rules let everything pass."""
        subprocess.run(
            ["ip", "netns", "exec", host.name, "nft", "-f", "-"], input=f"flush ruleset\n{rules}", text=True, check=True
        )


def remove_leftovers() -> None:
    """Remove the bridge, the hosts and their programs of a run that was killed: its bridge has our gateway's address.

    Two runs on one machine cannot be told apart on the wire, so there is one at a time.
    """
    listed = run("ip", "-o", "-4", "addr", "show", "to", f"{PREFIX}.254")
    for tag in re.findall(r" (pm\d+)br ", listed):
        for name in re.findall(rf"^({tag}n\d+)", run("ip", "netns", "list"), re.MULTILINE):
            for number in run("ip", "netns", "pids", name).split():
                with suppress(ProcessLookupError):
                    os.kill(int(number), signal.SIGKILL)
            run("ip", "netns", "del", name)
            shutil.rmtree(Path("/etc/netns") / name, ignore_errors=True)
        run("ip", "link", "del", f"{tag}br")


@contextmanager
def network(folder: Path, hosts: int) -> Iterator[Network]:
    """A network for the length of a block."""
    made = Network(folder, hosts)
    try:
        made.up()
        yield made
    finally:
        made.down()


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def wait_until(done: Callable[[], bool], what: str) -> None:
    """Wait for a state of other processes."""
    end = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.05)
