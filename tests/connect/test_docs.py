"""What docs/connect.md says, run."""

from __future__ import annotations

import asyncio
import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from links import listening
from memory import MemoryTransport
from support.pages import examples, run_examples

PAGE = "docs/connect.md"
PROTO = Path(__file__).parent / "page_proto"
PLUGIN = "from plugmux.connect.codegen.plugin import main; raise SystemExit(main())"


@pytest.fixture
def stubs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What is generated for the page's service, by name."""
    program = tmp_path / "protoc-gen-plugmux"
    program.write_text(f"#!{sys.executable}\n{PLUGIN}\n")
    program.chmod(0o755)
    outputs = [f"--plugin={program}", f"--python_out={tmp_path}", f"--plugmux_out={tmp_path}"]
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTO}", *outputs, "page/v1/page.proto"], check=True
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    modules = [importlib.import_module(f"page.v1.page_{kind}") for kind in ("pb2", "connect")]
    return {name: value for module in modules for name, value in vars(module).items() if name[0] != "_"}


class Link:
    """A link to whatever `app` is on the page at the time."""

    def __init__(self, names: dict[str, Any]) -> None:
        self._names = names

    @property
    def transport(self) -> MemoryTransport:
        return MemoryTransport(self._names["app"])


async def test_every_example_runs_after_those_before_it(stubs: dict[str, Any]) -> None:
    assert len(examples(PAGE)) >= 7
    stubs["link"] = Link(stubs)
    names = await run_examples(PAGE, stubs)
    with pytest.raises(names["RpcError"], match="not_found: no such key"):
        names["refuse"]("a")
    async with listening(names["app"]) as url:
        assert await asyncio.to_thread(names["script"], url) == b"2"
