"""Plugins that are given by a name: entry points, Python objects, scripts by their suffix, programs on PATH."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest

from plugmux import ConfigError, Launch, PluginCause, PluginError, Runtime
from plugmux.discovery import EntryPoint, OnPath
from plugmux.discovery.python import launch_object
from plugmux.runtime.process.scripts import strips_types
from plugmux.runtime.source import as_source, as_sources
from support.tools import tool

STORE = """
    import os, sys
    from kv.v1.kv_connect import KeyValueService
    from kv.v1.kv_pb2 import GetResponse
    from plugmux import Plugin

    class Store(KeyValueService):
        async def get(self, request, context):
            told = {"python": sys.executable, "name": plugin.registration.name, "arguments": " ".join(sys.argv[1:]),
                    "env": os.environ.get("LEVEL", "")}
            return GetResponse(value=told[request.key].encode())

    plugin = Plugin(Store(), version="v1.0.0")
"""

Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs a distribution of one module where this interpreter finds it."""

    def install(distribution: str, entry_points: str, source: str = STORE, module: str = "") -> Path:
        folder = tmp_path / distribution
        metadata = folder / f"{distribution}-1.2.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
        (metadata / "entry_points.txt").write_text(f"[plugmux.plugins]\n{entry_points}\n")
        (folder / f"{module or distribution}.py").write_text(textwrap.dedent(source))
        monkeypatch.syspath_prepend(folder)
        return folder

    return install


async def answer(source: object, key: str, plugin: str | None = None) -> str:
    """What a plugin answers."""
    async with Runtime([source]) as runtime:  # type: ignore[list-item]  # any kind of source
        client = runtime.client(KeyValueClient, plugin=plugin)
        return (await client.get(GetRequest(key=key))).value.decode()


async def why_not(source: object) -> PluginError:
    """Why a plugin does not run."""
    async with Runtime([source]) as runtime:  # type: ignore[list-item]  # any kind of source
        (plugin,) = runtime.plugins()
        assert plugin.error is not None
        return plugin.error


# -- entry points -----------------------------------------------------------------------------------------------------


async def test_a_name_is_that_of_an_installed_entry_point(install: Install) -> None:
    install("mykv", "store = mykv:plugin")
    assert await answer("store", "python") == sys.executable
    assert await answer("store", "name") == "store"


async def test_an_entry_point_goes_before_a_program_of_that_name_on_path(install: Install) -> None:
    install("mykv", "ls = mykv:plugin")
    assert await answer("ls", "name") == "ls"
    assert (await why_not(["ls"])).cause is PluginCause.EXITED  # An argument list is a command.


async def test_without_an_entry_point_it_is_a_program_on_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: Callable[[str], Path]
) -> None:
    monkeypatch.setenv("PATH", f"{program('kv').parent}:{os.environ['PATH']}")
    assert await answer("kv", "name") == "kv"


async def test_one_name_in_two_distributions_is_an_error_that_names_both(install: Install) -> None:
    install("one", "store = one:plugin")
    install("two", "store = two:plugin")
    error = await why_not("store")
    assert error.cause is PluginCause.AMBIGUOUS
    assert "one:plugin of one 1.2" in str(error)
    assert "two:plugin of two 1.2" in str(error)
    assert await answer(EntryPoint("store", distribution="two"), "name") == "store"
    assert await answer("two:plugin", "name") == "two"


async def test_what_is_nowhere_is_told_with_every_place_that_was_looked_in(
    install: Install, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install("mykv", "store = mykv:plugin")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stoer").touch()
    error = await why_not("stoer")
    assert error.cause is PluginCause.NOT_FOUND
    told = str(error)
    assert "no entry point stoer in the group plugmux.plugins of what is installed for" in told
    assert "(there is store)" in told
    assert f"no program stoer on PATH ({os.environ['PATH']})" in told
    assert "for the file of that name in the current directory, write './stoer'" in told


async def test_an_entry_point_takes_the_fields_of_a_launch(install: Install) -> None:
    install("mykv", "store = mykv:plugin")
    assert await answer(EntryPoint("store", name="second", env={"LEVEL": "debug"}), "env") == "debug"
    with pytest.raises(ConfigError, match="the command of the entry point 'store' comes with it"):
        EntryPoint("store", command=["x"])
    with pytest.raises(ConfigError, match="replicas"):
        EntryPoint("store", replicas=0)


async def test_metadata_that_cannot_be_read_costs_no_other_its_plugin(
    install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    install("broken", "this is\nno entry point [[[")
    install("mykv", "store = mykv:plugin")
    assert await answer("store", "name") == "store"


# -- Python objects ---------------------------------------------------------------------------------------------------


async def test_an_object_of_a_module_runs_with_the_hosts_interpreter_and_modules(install: Install) -> None:
    install("mykv", "", module="mykv")
    assert await answer("mykv:plugin", "python") == sys.executable
    assert await answer(launch_object("mykv:plugin", "-v", "x"), "arguments") == "-v x"


@pytest.mark.parametrize("shown", ["make", "Store", "store"])
async def test_the_object_may_be_what_gives_or_serves_it(install: Install, shown: str) -> None:
    source = STORE.replace("plugin = Plugin", "plugin = store = None; made = Plugin").replace("plugin.reg", "made.reg")
    more = "\n    def make():\n        return made\n\n    store = Store()\n"
    install("mykv", "", textwrap.dedent(source) + textwrap.dedent(more))
    assert await answer(f"mykv:{shown}", "python") == sys.executable


async def test_a_module_may_run_its_plugin_itself(install: Install) -> None:
    install("mykv", "", STORE + "\n    plugin.run()\n")
    assert await answer("mykv:plugin", "python") == sys.executable


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("nothere:plugin", "nothere:plugin: there is no module 'nothere' in "),
        ("mykv:plugn", "mykv:plugn: mykv has no 'plugn'; of its names, plugin is a plugin"),
        ("mykv:sys", "mykv:sys is no plugin, and nothing that a plugin serves: "),
    ],
)
async def test_what_is_no_object_to_run_is_told(install: Install, target: str, told: str) -> None:
    install("mykv", "")
    error = await why_not(target)
    assert told in error.stderr
    assert "Traceback" not in error.stderr


def test_the_name_of_an_object_is_that_of_its_module() -> None:
    assert [launch_object(f"{module}:x").name for module in ("kv", "my.kv", "hello.plugin", "hello.main")] == [
        "kv",
        "kv",
        "hello",
        "hello",
    ]


# -- scripts ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a plugin program."""

    def write(name: str, first: str = f"#!{sys.executable}\n", mode: int = 0o755) -> Path:
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(first + textwrap.dedent(STORE) + "plugin.run()\n")
        path.chmod(mode)
        return path

    return write


@pytest.mark.parametrize(("first", "mode"), [("", 0o644), ("#!/usr/bin/env python3\n", 0o755), ("#!/nowhere\n", 0o644)])
async def test_a_python_file_is_run_by_the_hosts_python(program: Callable[..., Path], first: str, mode: int) -> None:
    path = program("store.py", first, mode)
    assert await answer(str(path), "python") == sys.executable
    assert await answer(Launch([str(path), "-v"]), "arguments") == "-v"


async def test_a_first_line_that_names_one_interpreter_decides(program: Callable[..., Path]) -> None:
    async with Runtime([program("store.py", f"#!/usr/bin/env -S {sys.executable} -B\n")]) as runtime:
        words = Path(f"/proc/{runtime.plugin('store').pid}/cmdline").read_bytes().split(b"\0")
        assert words[1] == b"-B"


async def test_a_python_file_of_the_current_directory_needs_no_slash(
    program: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(program("store.py", "", 0o644).parent)
    assert await answer("store.py", "name") == "store"


async def test_a_first_line_of_windows_is_told(program: Callable[..., Path]) -> None:
    error = await why_not(program("kv", "#!/usr/bin/env python3\r\n"))
    assert error.cause is PluginCause.MISSING_INTERPRETER
    assert "ends with CR and LF, as on Windows" in str(error)
    assert "sed -i" in str(error)


def node(folder: Path, version: str) -> None:
    """A program `node` that tells a version, and prints its arguments otherwise."""
    path = folder / "node"
    path.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo {version} && exit\necho "$@" >&2; exit 3\n')
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("version", "name", "told"),
    [
        ("v20.1.0", "kv.js", "{}\n"),
        ("v20.1.0", "kv.mjs", "{}\n"),
        ("v22.18.0", "kv.ts", "{}\n"),
        ("v24.0.1", "kv.mts", "{}\n"),
        ("v22.6.0", "kv.ts", "--experimental-strip-types {}\n"),
        ("v23.5.0", "kv.ts", "--experimental-strip-types {}\n"),
    ],
)
async def test_node_runs_scripts_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, name: str, told: str
) -> None:
    node(tmp_path, version)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (tmp_path / name).write_text("await plugin({});")
    error = await why_not(tmp_path / name)
    assert error.exit_code == 3
    assert error.stderr.startswith(told.format(tmp_path / name).strip())


async def test_a_node_that_cannot_run_typescript_is_named_with_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node(tmp_path, "v20.11.1")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (tmp_path / "kv.ts").touch()
    error = await why_not(tmp_path / "kv.ts")
    assert error.cause is PluginCause.MISSING_INTERPRETER
    assert f"{tmp_path}/node (v20.11.1) cannot run: node does from 22.6 on" in str(error)


async def test_without_node_it_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "kv.js").touch()
    error = await why_not(Launch([f"{tmp_path}/kv.js"], env={"PATH": str(tmp_path)}))
    assert "there is no program 'node' on PATH: install Node.js" in str(error)


def test_only_node_of_some_versions_strips_types() -> None:
    told = {version: strips_types(version) for version in ("v22.5.1", "v22.17.9", "v22.18.0", "v23.0.0", "v23.6.0", "")}
    option = ("--experimental-strip-types",)
    assert list(told.values()) == [None, option, (), option, (), None]


async def test_a_script_of_this_machines_node_runs(tmp_path: Path) -> None:
    tool("node")
    (tmp_path / "tell.mjs").write_text("process.stderr.write(process.argv.slice(2).join()); process.exit(4);")
    error = await why_not(Launch([f"{tmp_path}/tell.mjs", "a", "b"]))
    assert (error.exit_code, error.stderr) == (4, "a,b")


# -- PATH -------------------------------------------------------------------------------------------------------------


async def test_programs_with_a_prefix_are_found_where_the_host_asks_for_them(
    program: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = program("plugmux-kv").parent
    program("app-kv")
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    assert (await why_not("kv")).cause is PluginCause.NOT_FOUND
    assert await answer(OnPath("kv"), "name") == "kv"
    assert await answer(OnPath(path=str(folder)), "name") == "kv"
    assert await answer(OnPath("kv", prefix="app-"), "name") == "kv"
    error = await why_not(OnPath("other"))
    assert f"there is no plugin 'other': no program plugmux-other in PATH ({folder}" in str(error)


def test_the_first_on_path_is_taken_and_relative_directories_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("a", "b", "c"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "plugmux-kv").touch(0o755)
        (tmp_path / folder / f"plugmux-{folder}").touch(0o755 if folder != "b" else 0o644)
    monkeypatch.chdir(tmp_path)
    found = OnPath(path=f"c:{tmp_path}/a:{tmp_path}/b:/nowhere").find()
    assert {plugin.name: plugin.launch.command[0] for plugin in found} == {
        "a": f"{tmp_path}/a/plugmux-a",
        "kv": f"{tmp_path}/a/plugmux-kv",
    }


@pytest.mark.parametrize("options", [{"prefix": ""}, {"prefix": "a/b"}, {"watch": -1}])
def test_a_source_that_cannot_be_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="OnPath"):
        OnPath(**options)  # type: ignore[arg-type]  # values of several types


# -- what is given to a runtime ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("plugins", ["./x", Path("x"), Launch(["./x"])])
def test_one_plugin_in_place_of_a_list_is_told(plugins: object) -> None:
    with pytest.raises(ConfigError, match=r"plugins is one plugin source and not a list of them: write Runtime\(\["):
        Runtime(plugins)  # type: ignore[arg-type]  # no list of sources


def test_what_is_a_path_or_a_command_is_looked_up_nowhere() -> None:
    code = "import sys, json\nfrom plugmux import Runtime\nRuntime(['./x', ['x', '-v'], 'x', 'x.py'])\n"
    code += "print(json.dumps([name for name in ('importlib.metadata', 'plugmux.discovery') if name in sys.modules]))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout) == []


def test_the_form_of_a_text_says_what_it_is() -> None:
    assert as_sources(["./kv", "kv.py", "dir/kv"]) == [Launch(["./kv"]), Launch(["kv.py"]), Launch(["dir/kv"])]
    assert as_source(["kv"]) == Launch(("kv",))
    assert as_source("python3") == Launch(["python3"])
