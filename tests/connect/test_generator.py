"""`protoc-gen-plugmux`, run by the real protoc on protos with every name that could go wrong."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from google.protobuf.compiler import plugin_pb2

from plugmux.connect import Kind
from plugmux.connect.codegen.names import snake_case
from plugmux.connect.codegen.plugin import generate
from plugmux.contract.version import VERSION
from support.protoc import MYPY_CACHE, plugin_program, proto_files, protoc

HERE = Path(__file__).parent
PY = HERE.parents[1] / "py"


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("generated")
    protoc(HERE / "proto", out, *proto_files(HERE / "proto"))
    return out


@pytest.fixture
def odd(generated: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(generated))
    return importlib.import_module("odd.v1.odd_names_connect")


def test_there_is_a_module_for_each_file_with_services(generated: Path) -> None:
    names = {str(path.relative_to(generated)) for path in generated.rglob("*_connect.py")}
    assert names == {
        "class/v1/class_connect.py",
        "echo/v1/echo_connect.py",
        "odd/v1/odd_names_connect.py",
        "plain_connect.py",
    }


def test_the_committed_stubs_are_what_is_generated(generated: Path) -> None:
    name = "echo/v1/echo_connect.py"
    assert (generated / name).read_text() == (HERE / "gen" / name).read_text()


def test_no_two_methods_or_classes_have_one_name(odd: ModuleType) -> None:
    attributes = [method.attribute for method in odd.ImportService.spec.methods]
    assert attributes == [
        "import_",
        "get_http_status",
        "get_http_status_",
        "spec_",
        "using_",
        "close_",
        "rpc__private",
        "both",
    ]
    names = {"FooService", "FooClient", "Foo_Service", "Foo_Client", "FooSync_Client", "ServiceService", "ClientClient"}
    assert names <= set(odd.__all__)
    assert odd.FooService.spec.name == "odd.v1.FooService"
    assert odd.Foo_Service.spec.name == "odd.v1.Foo"
    for stem in ("Import", "Foo", "Foo_"):
        spec = getattr(odd, f"{stem}Service").spec
        for kind in ("Service", "Client", "SyncClient"):
            assert all(callable(getattr(odd, f"{stem}{kind}").__dict__[m.attribute]) for m in spec.methods)


def test_a_method_knows_its_kind_path_and_messages(odd: ModuleType) -> None:
    import_, first, second, *_, both = odd.ImportService.spec.methods
    assert (import_.path, import_.kind) == ("/odd.v1.Import/Import", Kind.UNARY)
    assert import_.request.DESCRIPTOR.full_name == "odd.v1.None"
    assert (first.kind, first.response.DESCRIPTOR.full_name) == (Kind.SERVER_STREAM, "odd.v1.Outer.Inner")
    assert (second.kind, second.request.DESCRIPTOR.full_name) == (Kind.CLIENT_STREAM, "odd.inner.v1.Shared.Deep")
    assert second.response.DESCRIPTOR.full_name == "google.protobuf.Empty"
    assert both.kind is Kind.BIDI_STREAM


def test_comments_become_docstrings(odd: ModuleType) -> None:
    assert odd.ImportService.__doc__.strip() == 'Import has a docstring with """quotes""", a back\\slash and an "end"'
    assert odd.ImportClient.import_.__doc__ == "The name is a keyword."
    assert odd.ImportClient.spec_.__doc__ == "Names that the classes have of their own."


def test_a_comment_behind_becomes_the_docstring_where_there_is_none_before(odd: ModuleType) -> None:
    assert odd.FooClient.__doc__ == "The comment is behind its brace."
    for kind in (odd.ImportService, odd.ImportClient, odd.ImportSyncClient):
        assert kind.using_.__doc__ == "The comment is behind."


def test_packages_with_a_keywords_name_and_files_without_a_package_work(
    generated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(generated))
    assert importlib.import_module("class.v1.class_connect").ClassService.spec.name == "class.v1.ClassService"
    assert importlib.import_module("plain_connect").PlainService.spec.name == "Plain"


def test_the_package_option_puts_the_imports_below_a_package(tmp_path: Path) -> None:
    protoc(HERE / "proto", tmp_path, "odd/v1/odd-names.proto", options=["package=my.protos"])
    text = (tmp_path / "odd/v1/odd_names_connect.py").read_text()
    assert '_odd_v1_odd_names_pb2 = _importlib.import_module("my.protos.odd.v1.odd_names_pb2")\n' in text
    assert "from google.protobuf import empty_pb2 as _google_protobuf_empty_pb2\n" in text


def by_hand(folder: Path, *arguments: str, stdin: int) -> tuple[int, str, str]:
    """Status, output and error output of the generator as a person runs it."""
    command = [str(plugin_program(folder)), *arguments]
    run = subprocess.run(command, stdin=stdin, capture_output=True, text=True, timeout=30, check=False)
    return run.returncode, run.stdout, run.stderr


def test_it_tells_its_version_and_how_it_is_used(tmp_path: Path) -> None:
    assert by_hand(tmp_path, "--version", stdin=subprocess.DEVNULL) == (0, f"protoc-gen-plugmux {VERSION[1:]}\n", "")
    status, told, _ = by_hand(tmp_path, "--help", stdin=subprocess.DEVNULL)
    assert status == 0
    assert "- local: protoc-gen-plugmux\n" in told
    keyboard, terminal = os.openpty()
    try:
        assert by_hand(tmp_path, stdin=terminal) == (2, "", told)
    finally:
        os.close(keyboard)
        os.close(terminal)


def test_what_is_no_request_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "request").write_text("hello")
    with (tmp_path / "request").open() as request:
        status, written, told = by_hand(tmp_path, stdin=request.fileno())
    assert (status, written, told.count("\n")) == (2, "", 1)
    assert told.startswith("protoc-gen-plugmux: stdin is not a request")


@pytest.mark.parametrize(
    ("parameter", "error"), [("nonsense", "no option 'nonsense'"), ("package=a-b", "not the name of a Python package")]
)
def test_a_wrong_option_is_told_to_protoc(parameter: str, error: str) -> None:
    assert error in generate(plugin_pb2.CodeGeneratorRequest(parameter=parameter)).error


@pytest.mark.parametrize(
    ("name", "snake"),
    [("Get", "get"), ("GetHTTPStatus", "get_http_status"), ("V2Get", "v2_get"), ("get_it", "get_it"), ("ABC", "abc")],
)
def test_method_names_become_snake_case(name: str, snake: str) -> None:
    assert snake_case(name) == snake


USER = """
import plain_connect
from collections.abc import AsyncIterator, Iterator
from echo.v1.echo_connect import EchoClient, EchoService, EchoSyncClient
from echo.v1 import echo_pb2 as pb
from plugmux.connect import App, Context

class Async(EchoService):
    async def say(self, request: pb.SayRequest, context: Context) -> pb.SayResponse:
        return pb.SayResponse(text=request.text)
    async def count(self, request: pb.CountRequest, context: Context) -> AsyncIterator[pb.CountResponse]:
        yield pb.CountResponse(number=request.to)
    async def sum(self, requests: AsyncIterator[pb.SumRequest], context: Context) -> pb.SumResponse:
        return pb.SumResponse(sum=sum([request.number async for request in requests]))
    async def chat(self, requests: AsyncIterator[pb.ChatRequest], context: Context) -> AsyncIterator[pb.ChatResponse]:
        async for request in requests:
            yield pb.ChatResponse(text=request.text)

class Threads(EchoService):
    def say(self, request: pb.SayRequest, context: Context) -> pb.SayResponse:
        return pb.SayResponse()
    def count(self, request: pb.CountRequest, context: Context) -> Iterator[pb.CountResponse]:
        yield pb.CountResponse()
    def sum(self, requests: Iterator[pb.SumRequest], context: Context) -> pb.SumResponse:
        return pb.SumResponse(sum=sum(request.number for request in requests))

async def use(client: EchoClient, sync: EchoSyncClient) -> None:
    text: str = (await client.say(pb.SayRequest(), timeout=1.0, headers={"a": "b"})).text
    async with client.count(pb.CountRequest()) as stream:
        async for reply in stream:
            number: int = reply.number
    total: int = (await client.sum([pb.SumRequest()])).sum
    async with client.chat() as call:
        await call.send(pb.ChatRequest())
        async for answer in call:
            text = answer.text
    text = sync.say(pb.SayRequest()).text
    number = next(sync.count(pb.CountRequest())).number
    app = App([Async(), Threads()])
"""
WRONG = """
from echo.v1.echo_connect import EchoClient, EchoService
from echo.v1 import echo_pb2 as pb
from plugmux.connect import Context

class Wrong(EchoService):
    async def say(self, request: pb.SayRequest, context: Context) -> pb.SumResponse:
        return pb.SumResponse()

async def use(client: EchoClient) -> None:
    await client.say(pb.SumRequest())
    (await client.say(pb.SayRequest())).number
    await client.chat().send(pb.SayRequest())
"""


def mypy(folder: Path, generated: Path, *files: str) -> str:
    (folder / "mypy.ini").write_text(
        "[mypy]\nstrict = true\nmypy_path = " + f"{generated}:{PY}\n" + f"cache_dir = {MYPY_CACHE / 'generator'}\n"
        "[mypy-plugmux.*]\nfollow_imports = silent\n"
    )
    result = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", *files],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "MYPY_FORCE_COLOR": "0"},
    )
    return result.stdout


def test_what_users_write_is_checked_by_mypy_in_its_strict_mode(generated: Path, tmp_path: Path) -> None:
    (tmp_path / "user.py").write_text(USER)
    (tmp_path / "wrong.py").write_text(WRONG)
    assert "Success" in mypy(tmp_path, generated, "user.py")
    errors = mypy(tmp_path, generated, "wrong.py")
    assert [line.rpartition("[")[2] for line in errors.splitlines() if ": error: " in line] == [
        "override]",
        "arg-type]",
        "attr-defined]",
        "arg-type]",
    ]
