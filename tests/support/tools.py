"""Programs of other languages that tests run. A tool that is missing fails the test: it is never skipped."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LANGUAGES = ("python", "go", "ts")
ON_WINDOWS = sys.platform == "win32"
MADE = frozenset({"go-plugin", "go-host", "go-faulty", "go-kv", "go-cli", "docker-peer"})
"""The Go programs that `make` builds before the suites run side by side."""


def local_address(folder: Path) -> str:
    """An address of this machine for one test: a unix socket in its folder; on Windows a named pipe."""
    return f"pipe:plugmux-tests-{os.getpid()}-{folder.name}" if ON_WINDOWS else f"unix:{folder}/s"


def tool(name: str) -> str:
    """The path of a program that must be installed."""
    path = shutil.which(name)
    assert path is not None, f"these tests need {name!r}, and it is not on PATH"
    return path


@functools.cache
def go_build(module: str, package: str, output: str) -> str:
    """Build a Go program of this repository, unless `make` has, and return its path."""
    path = ROOT / "bin" / (f"windows/{output}.exe" if ON_WINDOWS else output)
    if output in MADE and "PLUGMUX_PREBUILT" in os.environ and path.exists():
        return str(path)
    with one_at_a_time():
        subprocess.run([tool("go"), "build", "-o", str(path), package], cwd=ROOT / module, check=True, timeout=300)
    return str(path)


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Keep other processes of a test run from building meanwhile: a program that runs cannot be written.

    The second one finds it up to date, and writes nothing.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl

    path = ROOT / "bin/.lock"
    path.parent.mkdir(exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@functools.cache
def npm_build(*workspaces: str) -> None:
    """Install what the TypeScript packages need, once, and build them.

    Where `make` has built them all before the suites run side by side, nothing is built again under their feet.
    """
    if "PLUGMUX_PREBUILT" in os.environ:
        return
    if not (ROOT / "node_modules").is_dir():
        subprocess.run([tool("npm"), "ci", "--silent"], cwd=ROOT, check=True, timeout=300)
    for workspace in workspaces:
        subprocess.run([tool("npm"), "run", "--silent", "build", "-w", workspace], cwd=ROOT, check=True, timeout=300)


@functools.cache
def ts_program(name: str, *workspaces: str) -> str:
    """A program of `tests/bundle.js`, built from the workspaces that have its modules, and its path."""
    npm_build(*workspaces)
    path = ROOT / "build/ts" / name
    if "PLUGMUX_PREBUILT" not in os.environ:
        subprocess.run([tool("node"), "tests/bundle.js", name], cwd=ROOT, check=True, timeout=60)
    return str(path.with_suffix(".js") if ON_WINDOWS else path)


@functools.cache
def npm_ci(folder: str) -> None:
    """Install what a package of its own needs, unless it is there."""
    modules = ROOT / folder / "node_modules"
    with one_at_a_time():
        if not (modules / ".package-lock.json").exists():
            subprocess.run([tool("npm"), "ci", "--silent"], cwd=ROOT / folder, check=True, timeout=300)


def go_plugin() -> list[str]:
    """The example plugin in Go."""
    return [go_build(".", "./examples/go-plugin", "go-plugin")]


def example_plugin(language: str) -> list[str]:
    """The example plugin of a language, built."""
    if language == "python":
        return [sys.executable, str(ROOT / "examples/python-plugin/python-plugin")]
    return go_plugin() if language == "go" else ts_plugin()


def go_host(language: str = "go") -> list[str]:
    """The Go host for a plugin in some language; the plugin's command follows."""
    host = [go_build("tests/interop/go", ".", "go-host"), "launch"]
    if not ON_WINDOWS:
        return host
    return [*host, "-timeout", "60s", *(["-socket"] if language == "ts" else [])]


def docker_peer() -> str:
    """The program that behaves on the wire as Docker's plugins, clients and engine do."""
    return go_build("tests/interop/docker", ".", "docker-peer")


def ts_plugin(*, bundled: bool = True) -> list[str]:
    """The example plugin in TypeScript: as one file, or as `tsc` has written it."""
    if bundled and not ON_WINDOWS:
        return [ts_program("ts-plugin", "ts", "examples/ts-plugin")]
    npm_build("ts", "examples/ts-plugin")
    if ON_WINDOWS:  # It has no first line that names node, nor the links beside the compiled file.
        return [os.environ["PLUGMUX_NODE"], str(ROOT / "examples/ts-plugin/dist/build/ts-plugin/ts-plugin.js")]
    return [str(ROOT / "examples/ts-plugin/dist/ts-plugin")]


def ts_host() -> list[str]:
    """The TypeScript host; the plugin's command follows."""
    return [tool("node"), ts_program("host", "ts", "tests/interop/ts")]


def faulty_plugin(language: str, *arguments: str) -> list[str]:
    """The plugin that misbehaves as it is told, in a language of three."""
    plugins = ROOT / "tests/faults/plugins"
    if language == "python":
        return [sys.executable, str(plugins / "faulty.py"), *arguments]
    if language == "go":
        return [go_build("tests/faults/plugins/go", ".", "go-faulty"), *arguments]
    return [tool("node"), ts_program("faulty", "ts", "tests/faults/plugins/ts"), *arguments]
