"""The example of raw streams: a host copies a file through a plugin in each language; checksums are compared."""

from __future__ import annotations

import subprocess
import sys

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


@pytest.mark.parametrize("size", [0, 1, SIZE])
def test_a_file_is_copied_unchanged(command: list[str], size: int) -> None:
    host = [sys.executable, str(ROOT / "examples/copy/copy-file.py"), "--size", str(size)]
    done = subprocess.run([*host, *command], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert f"copied {size} bytes" in done.stdout


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
