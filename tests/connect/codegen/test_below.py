"""Output below a package of one's own: the option `package=` for our modules, `--relocate` for those of protoc."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from plugmux.connect.codegen.plugin import main
from plugmux.connect.codegen.relocate import relocate
from support import every_method
from support.protoc import ROOT, plugin_program, proto_files, protoc
from support.tools import tool

BELOW = Path(__file__).parent / "below"
PACKAGE = "my.protos"
OWN = [file for file in proto_files(BELOW) if not file.startswith("elsewhere")]


def generate(root: Path, *runs: list[str]) -> Path:
    """Write the files of each run below the package, and what they import from elsewhere beside it."""
    out = root / PACKAGE.replace(".", "/")
    out.mkdir(parents=True)
    for files in runs:
        protoc(BELOW, out, *files, options=[f"package={PACKAGE}"])
    protoc(BELOW, root, "elsewhere/v1/elsewhere.proto")
    relocate(out, PACKAGE)
    return out


def contents(folder: Path) -> dict[str, str]:
    files = [*folder.rglob("*.py"), *folder.rglob("*.pyi")]
    return {str(path.relative_to(folder)): path.read_text() for path in files}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("below")
    generate(root, OWN)
    return root


def test_every_method_can_be_called(root: Path) -> None:
    path = [ROOT / "py", ROOT / "gen/python", ROOT / "tests/connect"]
    run = subprocess.run(
        [sys.executable, every_method.__file__, root],
        env={"PYTHONPATH": ":".join(map(str, path))},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    outcome = json.loads(run.stdout or "{}")
    assert (outcome.get("called"), outcome.get("failures")) == (4, []), run.stderr


def test_only_what_is_generated_there_is_imported_from_there(root: Path) -> None:
    for name, text in contents(root / "my/protos").items():
        assert "my.protos.elsewhere" not in text, name
        assert "my.protos.google" not in text, name
    text = (root / "my/protos/types/v1/mounts_connect.py").read_text()
    assert "from elsewhere.v1 import elsewhere_pb2 as" in text
    assert "from my.protos.types.v1 import mount_pb2 as" in text
    text = (root / "my/protos/types/v1/mounts_pb2.pyi").read_text()
    assert "from elsewhere.v1 import elsewhere_pb2 as" in text
    assert "from my.protos.types.v1 import mount_pb2 as" in text


def test_a_message_knows_the_module_that_it_can_be_imported_from(root: Path) -> None:
    text = (root / "my/protos/types/v1/mount_pb2.py").read_text()
    assert "BuildTopDescriptorsAndMessages(DESCRIPTOR, 'my.protos.types.v1.mount_pb2', _globals)" in text


def test_a_package_may_be_generated_file_by_file(root: Path, tmp_path: Path) -> None:
    packages = [[file for file in OWN if file.startswith(start)] for start in ("types/", "class/", "top")]
    out = generate(tmp_path, *([file] for files in packages for file in files))
    assert contents(out).items() <= contents(root / "my/protos").items()


def test_buf_gives_the_same_with_all_directories_in_one_run(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    plugin = {
        "local": [str(plugin_program(tmp_path))],
        "out": str(out),
        "opt": [f"package={PACKAGE}"],
        "strategy": "all",
    }
    template = {"version": "v2", "plugins": [plugin]}
    paths = [option for file in OWN for option in ("--path", str(BELOW / file))]
    command = [tool("buf"), "generate", str(BELOW), *paths, "--template", json.dumps(template)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert set(contents(out)) == {"types/v1/mounts_connect.py", "plugmux/v1/user_connect.py"}
    assert contents(out).items() <= contents(root / "my/protos").items()


def test_doing_it_again_changes_nothing(root: Path) -> None:
    before = contents(root)
    relocate(root / "my/protos", PACKAGE)
    assert contents(root) == before


@pytest.mark.parametrize(
    ("arguments", "told"), [(["nowhere", "a"], "is not a directory"), ([".", "a-b"], "is not the name")]
)
def test_what_cannot_be_relocated_is_told(
    arguments: list[str], told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["protoc-gen-plugmux", "--relocate", *arguments])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert told in capsys.readouterr().err


def test_the_program_relocates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    protoc(BELOW, tmp_path, "types/v1/mount.proto")
    monkeypatch.setattr(sys, "argv", ["protoc-gen-plugmux", "--relocate", str(tmp_path), "mine"])
    assert main() == 0
    assert "'mine.types.v1.mount_pb2'" in (tmp_path / "types/v1/mount_pb2.py").read_text()
