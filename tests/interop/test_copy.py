"""The example of raw streams: a host copies a file through a plugin in each language; checksums are compared."""

from __future__ import annotations

import hashlib
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from plugmux import Launch, Runtime
from support.tools import ROOT, go_build, ts_program

SIZE = 8 * 1024 * 1024 + 1


def copy_plugin(language: str) -> str:
    match language:
        case "go":
            return go_build(".", "./examples/copy", "go-copy")
        case "ts":
            return ts_program("ts-copy", "ts", "examples/copy")
        case _:
            return str(ROOT / "examples/copy/python-copy")


@pytest.fixture(params=("python", "go", "ts"))
def command(request: pytest.FixtureRequest) -> list[str]:
    path = copy_plugin(request.param)
    return [sys.executable, path] if request.param == "python" else [path]


def test_a_file_is_copied_unchanged(command: list[str]) -> None:
    host = [sys.executable, str(ROOT / "examples/copy/copy-file.py"), "--size", str(SIZE)]
    done = subprocess.run([*host, *command], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert f"copied {SIZE} bytes" in done.stdout


@pytest.mark.parametrize("content", [b"", b"x"])
async def test_a_file_of_next_to_nothing_is_copied_too(command: list[str], content: bytes, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(content)
    host = runpy.run_path(str(ROOT / "examples/copy/copy-file.py"))
    digest = await host["copy"](tmp_path / "source", tmp_path / "target", command)
    assert digest == hashlib.sha256(content).hexdigest()
    assert (tmp_path / "target").read_bytes() == content


async def test_many_streams_are_open_side_by_side(command: list[str], tmp_path: object) -> None:
    async with Runtime([Launch(command, name="copy")]) as runtime:
        link = runtime.plugin("copy").link
        assert link is not None
        streams = [await link.open_stream("copy") for _ in range(50)]
        for number, (_, writer) in enumerate(streams):
            writer.write(f"{tmp_path}/{number}\n{number}".encode())
            writer.write_eof()
        digests = {(await reader.read()) for reader, _ in streams}
        for _, writer in streams:
            writer.close()
        assert len(digests) == 50
