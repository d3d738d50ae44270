"""Both families of the platform have the same names with the same parameters; nothing else asks for the system."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import plugmux
from plugmux import platform

PACKAGE = Path(plugmux.__file__).parent
FAMILIES = PACKAGE / "platform"
MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


def parameters(path: Path) -> dict[str, str]:
    """The public names of a module: of a function its parameters, of a class those of its public methods."""
    found: dict[str, str] = {}
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found[node.name] = f"{type(node).__name__} {names(node)}"
        elif isinstance(node, ast.ClassDef):
            methods = [inner for inner in node.body if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef)]
            public = sorted(
                (inner for inner in methods if not inner.name.startswith("_")), key=lambda inner: inner.name
            )
            found[node.name] = " ".join(f"{inner.name}{names(inner)}" for inner in public)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                found[ast.unparse(target)] = "a value"
    return found


def names(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    said = function.args
    return [argument.arg for argument in (*said.posonlyargs, *said.args, *said.kwonlyargs)]


@pytest.mark.parametrize("module", sorted(platform.MODULES))
def test_each_name_can_be_had(module: str) -> None:
    assert {name for name in platform.MODULES[module] if getattr(platform, name) is None} == set()
    assert set(platform.MODULES[module]) <= parameters(FAMILIES / "posix" / f"{module}.py").keys()
    assert set(platform.MODULES[module]) <= set(platform.__all__)


@pytest.mark.parametrize("module", sorted(platform.MODULES))
def test_both_families_take_the_same(module: str) -> None:
    if not (FAMILIES / "windows").exists():
        return
    here, there = (parameters(FAMILIES / family / f"{module}.py") for family in ("posix", "windows"))
    wanted = platform.MODULES[module]
    assert {name: there.get(name) for name in wanted} == {name: here[name] for name in wanted}


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_no_other_part_asks_which_system_this_is(module: Path) -> None:
    if module.parts[0] == "platform":
        return
    asked = re.findall(r"\bsys\.platform\b|\bos\.name\b|\bplatform\.system\b", (PACKAGE / module).read_text())
    assert asked == [] or module.as_posix() in ASKS


ASKS = {
    "cli/address.py": "the cache directory of macOS has another name",
    "runners/zygote_host.py": "imports as little as it can; the unit of memory at the peak is another on macOS",
    "check/groups/launch.py": "looks at descriptors of another process",
}
"""Modules that still ask, and why."""

WITHOUT = """
import importlib, os, pkgutil, select, signal, socket, sys, types

import plugmux_proto, google.protobuf, asyncio, subprocess, tempfile  # The library may use all of the system.

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name in ("resource", "pwd", "grp", "fcntl", "termios", "pty", "tty"):
            raise ModuleNotFoundError(name)

for name in ("resource", "pwd", "grp", "fcntl", "termios"):
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Missing())
REMOVED = {
    os: "getuid geteuid getgid getegid getpgrp getpgid setsid killpg fork posix_spawn pidfd_open waitid wait4 waitpid "
        "O_CLOEXEC O_NOCTTY O_NONBLOCK O_NOFOLLOW O_DIRECTORY O_PATH fchmod fchown mkfifo register_at_fork "
        "sched_getaffinity set_blocking getppid pread WNOHANG WEXITED WNOWAIT P_PID P_PIDFD P_ALL "
        "POSIX_SPAWN_OPEN POSIX_SPAWN_CLOSE POSIX_SPAWN_DUP2",
    signal: "SIGHUP SIGKILL SIGQUIT SIGSTOP SIGCONT SIGXCPU SIGUSR1 SIGUSR2 SIGCHLD SIGPIPE pidfd_send_signal "
        "pthread_sigmask sigwait setitimer",
    socket: "AF_UNIX SO_PEERCRED SOCK_CLOEXEC SOCK_NONBLOCK MSG_DONTWAIT SCM_RIGHTS socketpair",
    select: "poll epoll kqueue",
}
for module, names in REMOVED.items():
    for name in names.split():
        if hasattr(module, name):
            delattr(module, name)

# Of Windows' family there is only what can be imported there: its names stand for functions that are not called.
sys.platform, here = "win32", sys.platform
import plugmux.platform as chosen
sys.platform = here
windows = types.ModuleType("plugmux.platform.windows")
windows.__path__ = []
sys.modules[windows.__name__] = windows
for part, names in chosen.MODULES.items():
    module = types.ModuleType(f"plugmux.platform.windows.{part}")
    vars(module).update(dict.fromkeys(names, int))
    sys.modules[module.__name__] = module
assert chosen.FAMILY == "windows"

FAMILY = ("plugmux.platform.posix", "plugmux.platform.windows")
import plugmux
for module in pkgutil.walk_packages(plugmux.__path__, "plugmux."):
    if not module.name.startswith(FAMILY) and not module.name.endswith("__main__") and module.name not in sys.argv[1:]:
        importlib.import_module(module.name)
        print(module.name)
"""
"""Imports every module that is not of one family alone, where what only Unix has is missing."""


def test_every_module_can_be_imported_where_what_only_unix_has_is_missing() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", WITHOUT], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    imported = set(done.stdout.split())
    assert {"plugmux.runtime.runtime", "plugmux.cli.program", "plugmux.plugin.program", "plugmux.check"} <= imported
