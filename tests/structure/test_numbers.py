"""The numbers that keep the house small. `make house` prints them all."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import plugmux
from module_imports import circles, modules, read_imports
from plugmux import Runtime

PACKAGE = Path(plugmux.__file__).parent
FILES = modules(PACKAGE)
LIFE = Path(__file__).with_name("life.py")

MAX_FILES_OF_A_FOLDER = 14
MAX_LINES_OF_A_MODULE = 400
MAX_ARGUMENTS = 10
MAX_FILES_IN_A_LIFE = 12
MAX_CORE_MODULES = 22
"""Modules of runtime/ that a runtime of commands loads."""
MAX_OF_THE_STANDARD_LIBRARY = 10
"""Modules that a plugin's start imports besides those of asyncio, h11 and generated messages."""

TOP_LEVEL = """
    COMPILED BreakerPolicy Code ConfigError Directory HealthPolicy Host Installed Interceptors Launch Permissions Plugin
    PluginCause PluginError PlugmuxError Policies Remote RestartPolicy RetryPolicy RpcError Runtime TLS Timeouts
""".split()

OPTIONAL = (
    "plugmux.discovery",
    "plugmux.network",
    "plugmux.runners",
    "plugmux.runtime.remote",
    "plugmux.runtime.socket",
    "plugmux.contract.schema",
    "plugmux.http.httpx",
)
"""What a runtime that is given commands, and does not listen, does without."""


def test_no_files_import_each_other() -> None:
    faces = {name for name, path in FILES.items() if path.name == "__init__.py"}
    assert circles(read_imports(PACKAGE), faces) == []


def test_a_folder_can_be_looked_through() -> None:
    files = Counter(path.parent.relative_to(PACKAGE) for path in FILES.values())
    assert {str(folder): count for folder, count in files.items() if count > MAX_FILES_OF_A_FOLDER} == {}


def test_a_module_can_be_read_in_one_go() -> None:
    lengths = {name: len(path.read_text().splitlines()) for name, path in FILES.items()}
    assert {name for name, length in lengths.items() if length > MAX_LINES_OF_A_MODULE} == set()


def test_a_constructor_takes_no_more_arguments_than_a_reader_can_hold() -> None:
    found = {}
    for name, path in FILES.items():
        for owner in [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)]:
            for inner in owner.body:
                if isinstance(inner, ast.FunctionDef) and inner.name == "__init__":
                    said = inner.args
                    found[f"{name}.{owner.name}"] = len(said.posonlyargs + said.args + said.kwonlyargs) - 1
    assert found["runtime.runtime.Runtime"] == MAX_ARGUMENTS
    assert {name: count for name, count in found.items() if count > MAX_ARGUMENTS} == {}


def test_at_top_level_stands_what_every_author_needs_and_no_more() -> None:
    assert plugmux.__all__ == TOP_LEVEL


def python(*arguments: str) -> str:
    """What another Python prints that knows what this one does."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, check=True
    ).stdout


def test_a_plugins_life_enters_few_files() -> None:
    """A life that takes a minute has a health check in it, and calls that wait: the shortest of a few counts."""
    for _ in range(5):
        told = json.loads(python(str(LIFE), "--json").splitlines()[-1])
        assert told["files"] > 5
        if told["files"] <= MAX_FILES_IN_A_LIFE:
            return
    pytest.fail(f"each of five lives entered more than {MAX_FILES_IN_A_LIFE} files: {LIFE} prints them")


def test_a_runtime_of_commands_loads_the_core_alone() -> None:
    code = "import sys, plugmux\nplugmux.Runtime(['x'])\nprint(*sys.modules)"
    loaded = python("-c", code).split()
    assert Runtime.__module__ in loaded
    assert [name for name in loaded if name.startswith(OPTIONAL)] == []
    core = [name for name in loaded if name.startswith("plugmux.runtime")]
    assert len(core) <= MAX_CORE_MODULES


def test_a_plugin_with_secrets_imports_nothing_of_the_host() -> None:
    code = "import sys\nfrom plugmux import Plugin\nfrom plugmux.secrets import Provider, Secret\nprint(*sys.modules)"
    loaded = python("-c", code).split()
    of_the_host = ("plugmux.runtime", "plugmux.discovery", "plugmux.secrets.access", "plugmux.secrets.resolver")
    assert "plugmux.secrets.provider" in loaded
    assert not [name for name in loaded if name.startswith(of_the_host)]


def test_a_plugins_start_imports_little_of_the_standard_library() -> None:
    code = (
        "import asyncio, h11, sys, kv.v1.kv_pb2\nbefore = set(sys.modules)\n"
        "import kv.v1.kv_connect, plugmux.plugin.plugin, plugmux.plugin.program\n"
        "print(*set(sys.modules) - before)"
    )
    added = {name for name in python("-c", code).split() if not name.startswith(("plugmux", "kv.", "google."))}
    assert added.isdisjoint({"argparse", "email", "ipaddress", "pathlib", "shutil", "tempfile", "urllib.parse"})
    assert len(added) <= MAX_OF_THE_STANDARD_LIBRARY, sorted(added)


EACH_FIRST = """
import asyncio, importlib, os, sys
import h11, google.protobuf.descriptor_pb2

for name in sys.argv[1:]:
    child = os.fork()
    if not child:
        importlib.import_module(name)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        print(name)
"""
"""Imports each module in a process that has no other of ours, and prints those that cannot be."""


def test_each_module_of_an_optional_layer_can_be_the_first_that_is_imported() -> None:
    names = [f"plugmux.{name}" for name in FILES if name.split(".")[0] in ("discovery", "runners")]
    assert len(names) > 10
    assert python("-c", EACH_FIRST, *names) == ""
