"""`plugmux new`: what it writes, and what it refuses. That the projects work in every language is `make kit`."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from plugmux.cli import main
from plugmux.contract.version import VERSION
from plugmux.errors import ConfigError, PlugmuxError
from plugmux.new.checkout import find_checkout
from plugmux.new.project import KINDS, LANGUAGES, LICENSES, Project
from plugmux.new.render import render
from plugmux.new.write import create
from support.pytests import FEW_PLUGINS
from support.tools import ROOT, tool

EVERY = [(language, kind) for language in LANGUAGES for kind in KINDS if (language, kind) != ("ts", "app")]
STUBS = {"hello_world_connect.py", "hello_world_pb2.py", "hello_world_pb2.pyi"}


def new(directory: Path, *arguments: str) -> int:
    return main(["new", "hello-world", "--dir", str(directory), *arguments])


@pytest.mark.parametrize("kind", KINDS)
def test_a_python_project_passes_its_own_tests(tmp_path: Path, kind: str) -> None:
    assert new(tmp_path / "p", "--lang=python", f"--kind={kind}") == 0
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:asyncio", "-p", "no:cacheprovider"],
        cwd=tmp_path / "p",
        env={**os.environ, **FEW_PLUGINS, "PYTHONPATH": "src"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
    assert " passed" in ran.stdout


def test_stubs_are_generated_with_the_project(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    new(tmp_path / "p", "--lang=python")
    written, said = capfd.readouterr()
    assert {path.name for path in (tmp_path / "p/src/hello_world/v1").iterdir()} == STUBS
    files = [str(path) for path in sorted((tmp_path / "p").rglob("*")) if path.is_file()]
    assert sorted(written.splitlines()) == sorted(files)
    assert said == f"see {tmp_path}/p/README.md; next: cd {tmp_path}/p && make test\n"


@pytest.mark.parametrize(("language", "kind"), EVERY)
@pytest.mark.parametrize("sdk", [None, Path("/a checkout")])
def test_every_file_is_well_formed(language: str, kind: str, sdk: Path | None) -> None:
    texts = render(Project("hello-world", language, kind, sdk=sdk))
    for path, text in texts.items():
        assert text.endswith("\n"), path
        assert not text.endswith("\n\n"), path
        assert "\n\n\n" not in text or path.endswith((".py", "LICENSE")), path
        assert not {"{{", "{%", "%}"} & set(text.split()), path
        match path.rpartition(".")[2]:
            case "py":
                ast.parse(text)
            case "json":
                json.loads(text)
            case "toml":
                tomllib.loads(text)
            case "go":
                formatted = subprocess.run([tool("gofmt")], input=text, capture_output=True, text=True, check=True)
                assert formatted.stdout == text, path
    assert {"README.md", "LICENSE", "Makefile", ".gitignore", ".github/workflows/test.yml"} <= texts.keys()
    assert ("buf.gen.yaml" in texts) == (kind == "service")
    assert ("/a checkout" in texts["README.md"]) == (sdk is not None)


async def test_a_program_that_begins_with_its_interpreter_gets_the_run_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await create(Project("hello", "ts", "secrets"), tmp_path)
    executable = [path.name for path in tmp_path.rglob("*") if path.is_file() and os.access(path, os.X_OK)]
    assert executable == ["hello.ts"]


@pytest.mark.parametrize(
    ("license", "first"), [("Apache-2.0", "Apache License"), ("MIT", "MIT License"), ("none", None)]
)
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_licence_is_the_chosen_one(language: str, license: str, first: str | None) -> None:
    texts = render(Project("hello", language, "secrets", license))
    assert ("LICENSE" in texts) == (first is not None)
    if first is not None:
        assert texts["LICENSE"].split("\n\n")[0].strip().startswith(first)
        assert f"## License\n\n{license}\n" in texts["README.md"]
    assert license in LICENSES


def test_the_apache_licence_is_the_one_of_plugmux() -> None:
    assert render(Project("hello", "go", "secrets"))["LICENSE"].strip() == (ROOT / "LICENSE").read_text().strip()


@pytest.mark.parametrize("language", LANGUAGES)
def test_without_a_checkout_the_released_package_is_used(language: str) -> None:
    with_it = render(Project("hello", language, "secrets", sdk=Path("/checkout")))
    without = render(Project("hello", language, "secrets"))
    assert any("/checkout" in text for text in with_it.values())
    assert "Until plugmux is released" in with_it["README.md"]
    assert not any("checkout" in text.replace("actions/checkout", "") for text in without.values())
    assert "Until plugmux is released" not in without["README.md"]


@pytest.mark.parametrize(
    ("name", "service"),
    [
        ("kv", "KvService"),
        ("key-value", "KeyValueService"),
        ("mail-service", "MailService"),
        ("service", "ServiceService"),
        ("s3-2", "S32Service"),
    ],
)
def test_a_service_is_called_as_its_project(name: str, service: str) -> None:
    project = Project(name, "python")
    assert project.service == service
    assert f"service {service} {{" in render(project)[f"proto/{project.module}/v1/{project.module}.proto"]


@pytest.mark.parametrize("name", ["", "Hello", "hello_world", "1st", "-a", "a-", "a--b", "a/b", "..", "a" * 51])
def test_a_name_that_some_language_cannot_have_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be a project's name: take lower-case letters"):
        Project(name, "go")


@pytest.mark.parametrize("name", ["json", "class", "plugmux", "tests", "google"])
def test_a_name_that_would_hide_a_module_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="it is that of a Python module or keyword"):
        Project(name, "python")


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"language": "rust"}, "'rust' is none of python, go, ts"),
        ({"language": "go", "kind": "x"}, "'x' is none of service, secrets, app"),
        ({"language": "go", "license": "GPL"}, "'GPL' is none of Apache-2.0, MIT, none"),
        ({"language": "ts", "kind": "app"}, "no plain HTTP"),
        ({"language": "go", "go_module": "a b"}, "cannot be the path of a Go module"),
        ({"language": "go", "sdk": Path("/a$(b)")}, "cannot stand in a Makefile"),
    ],
)
def test_a_choice_that_there_is_not_is_refused(values: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told.replace("$", r"\$")):
        Project("hello", **values)


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").touch()
    assert new(tmp_path, "--lang=go") == 2
    assert f"{tmp_path} is there already, and not empty" in capfd.readouterr().err
    assert os.listdir(tmp_path) == ["mine"]


def test_a_checkout_that_is_none_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert new(tmp_path / "p", "--lang=go", f"--sdk={tmp_path}") == 2
    assert "that is no checkout of plugmux" in capfd.readouterr().err
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize(
    ("noted", "found"),
    [
        ({"url": "file://CHECKOUT", "dir_info": {}}, True),
        ({"url": "file://CHECKOUT", "dir_info": {"editable": True}}, True),
        ({"url": "file://CHECKOUT/plugmux.whl", "archive_info": {}}, False),
        ({"url": "https://files.example/CHECKOUT", "archive_info": {}}, False),
        (None, False),
    ],
)
def test_the_checkout_that_pip_has_installed_plugmux_from_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, noted: dict[str, Any] | None, found: bool
) -> None:
    checkout, site = tmp_path / "a checkout", tmp_path / "site"
    (checkout / "ts").mkdir(parents=True)
    for file in ("pyproject.toml", "go.mod", "ts/package.json"):
        (checkout / file).touch()
    information = site / "from_a_path-0.1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: from-a-path\nVersion: 0.1.0\n")
    if noted is not None:
        text = json.dumps(noted).replace("CHECKOUT", str(checkout).replace(" ", "%20"))
        (information / "direct_url.json").write_text(text)
    monkeypatch.syspath_prepend(str(site))
    assert find_checkout(site, "from-a-path") == (checkout if found else None)
    assert find_checkout(checkout, "from-a-path") == checkout
    assert find_checkout(site, "there-is-none") is None


def test_without_jinja_it_is_said_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert new(tmp_path / "p", "--lang=go") == 1
    assert capfd.readouterr().err == "plugmux: a new project needs Jinja2: pip install 'plugmux[new]'\n"
    assert not (tmp_path / "p").exists()


async def test_without_protoc_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plugmux.new.write.installed_version", lambda distribution: "")
    with pytest.raises(PlugmuxError, match=r"need grpcio-tools: pip install 'plugmux\[new\]'"):
        await create(Project("hello", "python"), tmp_path / "p")
    assert not (tmp_path / "p").exists()


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that is all of PATH, and of what stands beside the interpreter."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setattr("plugmux.new.write._path", lambda: str(folder))
    return folder


async def test_a_tool_that_is_missing_is_told_before_anything_is_written(tmp_path: Path, tools: Path) -> None:
    with pytest.raises(PlugmuxError, match="there is no program 'go', which a new project needs: install Go"):
        await create(Project("hello", "go", "secrets"), tmp_path / "p")
    with pytest.raises(PlugmuxError, match=r"there is no program 'buf', which .*, or install buf otherwise"):
        await create(Project("hello", "ts"), tmp_path / "p")
    assert not (tmp_path / "p").exists()


async def test_a_tool_that_fails_leaves_the_files_and_says_what_to_do(tmp_path: Path, tools: Path) -> None:
    (tools / "go").write_text("#!/bin/sh\necho no network >&2\nexit 3\n")
    (tools / "go").chmod(0o755)
    with pytest.raises(PlugmuxError) as caught:
        await create(Project("hello", "go", "secrets"), tmp_path / "p")
    assert str(caught.value) == (
        f"`go mod tidy` failed with status 3; the files are in {tmp_path}/p; when that is mended, run it there:\n"
        "no network\n"
    )
    assert (tmp_path / "p/main.go").is_file()


async def test_it_is_told_which_tool_runs_and_how_many_follow(tmp_path: Path, tools: Path) -> None:
    for name in ("go", "buf"):
        (tools / name).write_text("#!/bin/sh\n")
        (tools / name).chmod(0o755)
    told: list[tuple[str, int, int]] = []
    await create(Project("hello", "go"), tmp_path / "p", lambda *step: told.append(step))
    assert told == [(f"buf generate in {tmp_path}/p", 0, 2), (f"go mod tidy in {tmp_path}/p", 1, 2)]


async def test_a_tool_ends_with_the_command_that_started_it(tmp_path: Path, tools: Path) -> None:
    (tools / "go").write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec {shutil.which('sleep')} 600\n")
    (tools / "go").chmod(0o755)
    creating = asyncio.create_task(create(Project("hello", "go", "secrets"), tmp_path / "p"))
    while not (tmp_path / "pid").is_file() or not (tmp_path / "pid").read_text().endswith("\n"):
        await asyncio.sleep(0.01)
    creating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await creating
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_project_of_all_languages_has_an_environment_for_each_plugin_and_version() -> None:
    files = render(Project("key-value", "all"))
    assert "env_list = {python,go,ts}-{oldest,newest}" in files["tox.ini"]
    assert f"oldest: plugmux=={VERSION.removeprefix('v')}" in files["tox.ini"]
    recipes = tomllib.loads(files["pyproject.toml"])["tool"]["plugmux"]["plugins"]
    assert set(recipes) == {"python", "go", "ts"}
    compile(files["host.py"], "host.py", "exec")
    compile(files["tests/test_host.py"], "test_host.py", "exec")


def test_a_project_of_all_languages_serves_rpcs() -> None:
    with pytest.raises(ConfigError, match="--lang all makes a project whose plugins serve RPCs"):
        Project("hello", "all", "secrets")


@pytest.mark.parametrize("language", ["python", "all"])
@pytest.mark.parametrize(
    ("uv", "commands"), [("uv", ("uv venv", "uv pip install")), ("", ("-m venv", "-m pip install"))]
)
def test_a_makefile_installs_by_uv_where_there_is_uv(
    tmp_path: Path, language: str, uv: str, commands: tuple[str, ...]
) -> None:
    (tmp_path / "Makefile").write_text(render(Project("hello", language, sdk=tmp_path))["Makefile"])
    (tmp_path / "pyproject.toml").touch()
    planned = subprocess.run(
        [tool("make"), "--dry-run", f"UV={uv}", "test"], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    assert all(command in planned for command in commands)
    assert ("uv " in planned) == bool(uv)
