"""Whatever a proto file may hold can be generated, imported, type-checked and called over a link."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from google.protobuf.compiler import plugin_pb2
from google.protobuf.descriptor_pb2 import Edition, FileDescriptorProto, FileDescriptorSet

from plugmux.connect.codegen.plugin import generate
from support.every_method import modules_in, run
from support.protoc import MYPY_CACHE, ROOT, descriptors, plugin_program, proto_files, protoc
from support.tools import tool

PROTO = Path(__file__).parent / "proto"
FIRST_PROTOC_OF_2024 = 32
KINDS = {
    "names of builtins": "names.v1.builtins_connect",
    "names that Python mangles": "names.v1.underscores_connect",
    "names of the base classes": "names.v1.helpers_connect",
    "names that are keywords": "names.v1.keywords_connect",
    "nested messages named as methods of messages": "names.v1.nested_connect",
    "a dot in the file's name": "a.b_connect",
    "a directory with a dot": "github.com.acme.kv_connect",
    "directories that are no identifiers": "1st.2nd_x_connect",
    "blanks in a path": "my dir.some file_connect",
    "a directory named as a keyword": "import.as_connect",
    "imports of such files": "paths.v1.all_connect",
    "edition 2023": "editions.v1.edition2023_connect",
    "groups and extensions of proto2": "editions.v1.proto2_connect",
    "optional fields, oneofs, maps and well-known types": "fields.v1.fields_connect",
    "one of two packages that import each other": "crossing.one.v1.service_connect",
    "the other of two packages that import each other": "crossing.two.v1.service_connect",
    "public imports": "publicly.v1.service_connect",
}


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output for all files, in one run."""
    out = tmp_path_factory.mktemp("generated")
    protoc(PROTO, out, *proto_files(PROTO))
    return out


def test_there_is_a_kind_for_each_module(generated: Path) -> None:
    assert sorted(KINDS.values()) == sorted(modules_in(generated))


@pytest.mark.parametrize("name", KINDS.values(), ids=KINDS)
async def test_every_method_can_be_called_over_a_link(
    name: str, generated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(generated))
    outcome = await run([name])
    assert outcome.failures == []
    assert outcome.called == outcome.methods > 0


def test_a_module_lies_beside_the_messages_of_its_file(generated: Path) -> None:
    for path in generated.rglob("*_connect.py"):
        assert path.with_name(path.name.replace("_connect.py", "_pb2.py")).is_file()


def test_a_run_for_each_file_gives_what_one_run_gives(generated: Path, tmp_path: Path) -> None:
    described = FileDescriptorSet.FromString(descriptors(PROTO, tmp_path))
    whole = {file.name: file for file in described.file}
    alone: dict[str, str] = {}
    for name in proto_files(PROTO):
        request = plugin_pb2.CodeGeneratorRequest(file_to_generate=[name])
        request.proto_file.extend(whole[file] for file in imported(name, whole))
        response = generate(request)
        assert response.error == ""
        alone |= {file.name: file.content for file in response.file}
    written = {str(path.relative_to(generated)): path.read_text() for path in generated.rglob("*_connect.py")}
    assert alone == written


def imported(name: str, files: Mapping[str, FileDescriptorProto]) -> dict[str, None]:
    """A file behind all that it imports, as protoc gives them to a plugin."""
    found: dict[str, None] = {}
    for dependency in files[name].dependency:
        found |= imported(dependency, files)
    return found | {name: None}


@pytest.mark.timeout(300)
def test_mypy_takes_every_module_in_its_strict_mode(generated: Path, tmp_path: Path) -> None:
    # The .pyi files are protoc's: it does not pass `mypy --strict` itself.
    settings = ["[mypy]", "strict = true", "explicit_package_bases = true", "follow_imports = silent"]
    settings += ["follow_imports_for_stubs = true", f"mypy_path = {generated}:{ROOT / 'py'}"]
    (tmp_path / "mypy.ini").write_text("\n".join([*settings, f"cache_dir = {MYPY_CACHE / 'every_proto'}"]))
    files = [str(path.relative_to(generated)) for path in sorted(generated.rglob("*_connect.py"))]
    command = [sys.executable, "-m", "mypy", "--config-file", str(tmp_path / "mypy.ini"), *files]
    checked = subprocess.run(command, cwd=generated, capture_output=True, text=True, timeout=280, check=False)
    assert (checked.returncode, checked.stderr) == (0, ""), checked.stdout


@pytest.mark.timeout(300)
def test_pyright_takes_every_module(generated: Path) -> None:
    settings = {"include": ["**/*_connect.py"], "extraPaths": [str(ROOT / "py")]}
    (generated / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [tool("pyright"), "--project", str(generated), "--pythonpath", sys.executable, "--outputjson"]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    told = json.loads(checked.stdout)
    assert told["generalDiagnostics"] == []
    assert told["summary"]["filesAnalyzed"] == len(KINDS)


def test_edition_2024_is_taken(tmp_path: Path) -> None:
    # buf knows the edition; the oldest protoc of these tests does not.
    out = tmp_path / "out"
    template = {"version": "v2", "plugins": [{"local": [str(plugin_program(tmp_path))], "out": str(out)}]}
    source = PROTO.with_name("proto2024")
    command = [tool("buf"), "generate", str(source), "--template", json.dumps(template)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    text = (out / "editions/v1/edition2024_connect.py").read_text()
    assert '"/editions.v1.Edition2024/Get"' in text


async def test_edition_2024_can_be_called_where_protoc_knows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", "--version"], capture_output=True, text=True, timeout=60, check=True
    )
    source, file = PROTO.with_name("proto2024"), "editions/v1/edition2024.proto"
    if int(told.stdout.split()[-1].partition(".")[0]) < FIRST_PROTOC_OF_2024:
        with pytest.raises(AssertionError, match=file):
            protoc(source, tmp_path, file)
        return
    protoc(source, tmp_path, file)
    monkeypatch.syspath_prepend(str(tmp_path))
    outcome = await run(["editions.v1.edition2024_connect"])
    assert (outcome.called, outcome.failures) == (1, [])


def test_it_tells_protoc_which_editions_it_takes() -> None:
    response = generate(plugin_pb2.CodeGeneratorRequest())
    assert response.supported_features == response.FEATURE_PROTO3_OPTIONAL | response.FEATURE_SUPPORTS_EDITIONS
    assert (response.minimum_edition, response.maximum_edition) == (Edition.EDITION_PROTO2, Edition.EDITION_2024)
