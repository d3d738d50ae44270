"""Moves generated messages out of the registries that a process shares. `make generate` runs it.

protobuf refuses a second file or message of one name in a process: Python at the import, Go with a panic. The wire
fixes the names of our protos, and a user's own may have the same. So ours go into registries of their own: in Python
`plugmux.contract.pool`, in Go `gen/go/internal/registry`. TypeScript has no shared registry.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import grpc_tools

from plugmux.connect.codegen.relocate import relocate

ROOT = Path(__file__).resolve().parents[1]
PYTHON = ROOT / "gen/python/plugmux_proto"
GO = ROOT / "gen/go"
INCLUDED = ["google/protobuf/duration.proto", "google/protobuf/timestamp.proto"]
"""The files of `google.protobuf` that our protos import, which our pool needs too."""

PYTHON_RULES = [
    (
        r"^from google\.protobuf import descriptor_pool as _descriptor_pool$",
        "from plugmux.contract import pool as _pool",
    ),
    (r"_descriptor_pool\.Default\(\)\.AddSerializedFile", "_pool.POOL.AddSerializedFile"),
    (
        r"_builder\.BuildTopDescriptorsAndMessages\(DESCRIPTOR, '[^']*', _globals\)",
        "_pool.add_types(DESCRIPTOR, __name__, _globals)",
    ),
]
GO_RULES = [
    (r"^import \($", 'import (\n\tregistry "plugmux.dev/gen/go/internal/registry"'),
    (
        r"^\t\tFile: protoimpl\.DescBuilder\{$",
        "\t\tTypeRegistry: registry.Types,\n\\g<0>\n\t\t\tFileRegistry: registry.Files,",
    ),
]


def rewrite(path: Path, rules: list[tuple[str, str]]) -> None:
    """Apply each rule, a pattern and what comes in its place, to a file."""
    text = path.read_text()
    for pattern, replacement in rules:
        text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
    path.write_text(text)


def main() -> None:
    included = Path(grpc_tools.__file__).parent / "_proto"
    outputs = [f"--python_out={PYTHON}", f"--pyi_out={PYTHON}"]
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{included}", *outputs, *INCLUDED]
    subprocess.run(command, check=True)
    relocate(PYTHON, PYTHON.name)
    for path in PYTHON.rglob("*_pb2.py"):
        rewrite(path, PYTHON_RULES)
    files = sorted(GO.rglob("*.pb.go"))
    for path in files:
        rewrite(path, GO_RULES)
    subprocess.run(["gofmt", "-w", *files], check=True)


if __name__ == "__main__":
    main()
