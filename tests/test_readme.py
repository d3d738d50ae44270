"""What README.md shows, run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from support.pages import examples
from support.tools import ROOT, tool

README = (ROOT / "README.md").read_text()
KV_PLUGIN, KV_HOST, VAULT_PLUGIN, VAULT_HOST = examples("README.md")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory with the two plugins of the page."""
    for name, source in (("kv_plugin.py", KV_PLUGIN), ("vault_plugin.py", VAULT_PLUGIN)):
        (tmp_path / name).write_text(source)
    (tmp_path / "host.py").write_text(KV_HOST)
    return tmp_path


def run(folder: Path, *command: str) -> str:
    """Run a command where the virtual environment of this process is activated."""
    activated = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": activated, "PYTHONPATH": str(ROOT / "examples/gen/python")}
    result = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_host_calls_the_plugin(folder: Path) -> None:
    assert run(folder, "python", "host.py").strip() == 'value: "1"'


def test_the_resolver_asks_the_provider(folder: Path) -> None:
    *imports, _, _, _ = VAULT_HOST.splitlines()
    body = textwrap.indent("\n".join(VAULT_HOST.splitlines()[len(imports) :]), "    ")
    program = "\n".join(
        ["import asyncio", *imports, "async def main():", body, "    print(secret)", "asyncio.run(main())"]
    )
    shown = run(folder, sys.executable, "-c", program)
    assert "vault/db/password" in shown
    assert "..." not in shown


@pytest.mark.parametrize(
    ("language", "source"), [("go", "examples/go-plugin/main.go"), ("ts", "examples/ts-plugin/ts-plugin.ts")]
)
def test_the_plugins_in_other_languages_are_the_examples(language: str, source: str) -> None:
    assert (ROOT / source).read_text() in examples("README.md", language)


@pytest.mark.parametrize(
    ("page", "protos", "out"),
    [("README.md", ".", "gen"), ("docs/install.md", "proto", "gen"), ("docs/codegen.md", "proto", "src")],
)
def test_stubs_are_generated_as_shown(page: str, protos: str, out: str, tmp_path: Path) -> None:
    (template,) = examples(page, "yaml")
    (tmp_path / "buf.gen.yaml").write_text(template)
    if protos != ".":
        (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / protos / "kv" / "v1").mkdir(parents=True)
    shutil.copy(ROOT / "examples" / "proto" / "kv" / "v1" / "kv.proto", tmp_path / protos / "kv" / "v1")
    run(tmp_path, "buf", "generate")
    generated = {path.name for path in (tmp_path / out / "kv" / "v1").iterdir()}
    assert generated == {"kv_pb2.py", "kv_pb2.pyi", "kv_connect.py"}


GENERATORS = (
    "google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12",
    "connectrpc.com/connect/cmd/protoc-gen-connect-go@v1.21.1",
)


def test_go_stubs_are_generated_as_go_readme_md_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (template,) = examples("go/README.md", "yaml")
    (tmp_path / "buf.gen.yaml").write_text(template)
    (tmp_path / "proto/kv/v1").mkdir(parents=True)
    shutil.copy(ROOT / "examples/proto/kv/v1/kv.proto", tmp_path / "proto/kv/v1")
    monkeypatch.setenv("GOBIN", str(tmp_path / "bin"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    for generator in GENERATORS:
        run(tmp_path, tool("go"), "install", generator)
    run(tmp_path, "buf", "generate")
    assert (tmp_path / "gen/kv/v1/kv.pb.go").is_file()
    assert "NewUnaryHandlerSimple(" in (tmp_path / "gen/kv/v1/kvv1connect/kv.connect.go").read_text()


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("plugmux get vault/db/* --plugin vault_plugin.py", "..."),
        ('plugmux call kv.v1.KeyValueService/Get {"key":"a"} --plugin kv_plugin.py', '"value"'),
    ],
)
def test_the_command_line_works_as_shown(folder: Path, command: str, shown: str) -> None:
    assert shown in run(folder, *command.split())


def test_both_commands_of_the_first_screen_are_targets_of_make() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in ("demo", "test"):
        assert f"make {target}" in README
        assert f"\n{target}:" in makefile
