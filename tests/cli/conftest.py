"""The command line in this process, and plugins for it to launch."""

from __future__ import annotations

import functools
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from plugmux.cli import main
from plugmux.runtime import supervisor
from support.forked import Forked
from support.tools import ON_WINDOWS, go_build

EXAMPLES = Path(__file__).parents[2] / "examples" / "gen" / "python"

PLUGIN = """\
import asyncio
from kv.v1.kv_connect import KeyValueService
from kv.v1.kv_pb2 import GetResponse, PutResponse, WatchResponse
from plugmux import Plugin
from plugmux.connect import Code, RpcError
from plugmux.secrets import Provider, Secret

class Secrets(Provider):
    pattern = "{name}/**"

    async def get_secrets(self, pattern):
        for id, value in (("{name}/a", b"hunter2\\xff"), ("{name}/b", b"two")):
            if pattern.match(id):
                yield Secret(id, value, version="1", metadata={{"owner": "us"}})

class Store(KeyValueService):
    async def get(self, request, context):
        if request.key == "missing":
            raise RpcError(Code.NOT_FOUND, "no such key")
        return GetResponse(value=request.key.encode() + b" of {name}")

    async def watch(self, request, context):
        for number in range(3):
            yield WatchResponse(value=b"%d" % number)
        if request.key == "endless":
            await asyncio.Event().wait()
        if request.key == "broken":
            raise RpcError(Code.DATA_LOSS, "no more")

print("a plugin may print what it likes")
Plugin(Secrets(), Store(), version="v1.2.3").run()
"""


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    status: int
    stdout: bytes
    stderr: str

    @property
    def told(self) -> str:
        """What it said on stderr, without the address of the page that says more."""
        return self.stderr.partition("\nsee https://")[0].rstrip("\n")

    @property
    def lines(self) -> list[str]:
        return self.stdout.decode().splitlines()


Command = Callable[..., Ran]


@pytest.fixture
def plugmux(capfdbinary: pytest.CaptureFixture[bytes]) -> Command:
    """Runs the command in this process: `plugmux("get", "a/b")`."""

    def run(*arguments: object) -> Ran:
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else 0
        captured = capfdbinary.readouterr()
        return Ran(status, captured.out, captured.err.decode())

    return run


@pytest.fixture(autouse=True)
def no_notes_of_slow_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Say nothing of a plugin that is still starting: on a busy machine each is slow."""
    monkeypatch.setattr(supervisor, "STILL_STARTING", ())


@pytest.fixture(autouse=True)
def no_runtime_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the commands away from a runtime that the user of the tests may have."""
    monkeypatch.delenv("PLUGMUX_SOCKET", raising=False)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def write_program(directory: Path, name: str, source: str) -> str:
    """Write a Python program, which finds the example stubs, and return its path."""
    path = directory / name
    path.write_text(f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(EXAMPLES)!r})\n{source}")
    path.chmod(0o755)
    return str(path)


def write_plugin(directory: Path, name: str) -> str:
    """Put `PLUGIN` somewhere, in Python on Windows, else in Go, and return the command line that starts it."""
    if ON_WINDOWS:
        return shlex.join([sys.executable, write_program(directory, name, PLUGIN.format(name=name))])
    path = directory / name
    path.unlink(missing_ok=True)
    path.symlink_to(go_build(".", "./tests/cli/plugin", "go-cli"))
    return shlex.join([str(path)])


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str, str], str]:
    """Writes a Python program, which finds the example stubs, and gives its path."""
    return functools.partial(write_program, tmp_path)


@pytest.fixture
def plugin(tmp_path: Path) -> Callable[[str], str]:
    """Puts a plugin somewhere, by its name, and gives the command line that starts it."""
    return functools.partial(write_plugin, tmp_path)


Start = Callable[..., Forked]


@contextmanager
def started() -> Iterator[Start]:
    """Starts `plugmux run`, and at its end ends whatever still runs."""
    running: list[Forked] = []

    def start(*arguments: str) -> Forked:
        running.append(Forked("run", *arguments, notes=False))
        return running[-1]

    try:
        yield start
    finally:
        for process in running:
            process.terminate()
            process.communicate()


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts `plugmux run` and ends whatever still runs."""
    with started() as start:
        yield start


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """Runs a runtime with plugins of some names, for all tests of a module, which change nothing; gives its address."""
    directory = tmp_path_factory.mktemp("serving")
    addresses: dict[tuple[str, ...], str] = {}
    with started() as start:

        def serve(*names: str) -> str:
            if names not in addresses:
                address = f"unix:{directory}/{'-'.join(names)}.sock"
                plugins = [f"--plugin={write_plugin(directory, name)}" for name in names]
                process = start(*plugins, "--listen", address)
                assert process.stderr.readline() == f"listening on {address}\n"
                addresses[names] = address
            return addresses[names]

        yield serve


@pytest.fixture
def store(serving: Callable[..., str]) -> tuple[str, str]:
    """Leads a command to a runtime that has the plugin "store"."""
    return "--connect", serving("store")


@pytest.fixture
def vault(serving: Callable[..., str]) -> tuple[str, str]:
    """Leads a command to a runtime that has the plugin "vault"."""
    return "--connect", serving("vault")
