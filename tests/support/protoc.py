"""protoc, with its own Python output and that of `protoc-gen-plugmux` as it stands in this tree."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MYPY_CACHE = Path(sys.prefix) / ".mypy_cache"
"""Where mypy keeps what it knows of plugmux from run to run: a folder per test, since several may run at once."""


def plugin_program(folder: Path) -> Path:
    """Write the plugin's program into a folder, under the name by which protoc knows it."""
    program = folder / "protoc-gen-plugmux"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT / 'py')!r})\n"
        "from plugmux.connect.codegen.plugin import main\nsys.exit(main())\n"
    )
    program.chmod(0o755)
    return program


def proto_files(root: Path) -> list[str]:
    """The files below a folder, as protoc names them."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*.proto"))


def protoc(root: Path, out: Path, *files: str, options: Sequence[str] = ()) -> None:
    """Run protoc on files of a folder."""
    outputs = [f"--python_out={out}", f"--pyi_out={out}", f"--plugmux_out={out}", f"--plugin={plugin_program(out)}"]
    outputs += [f"--plugmux_opt={option}" for option in options]
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{root}", *outputs, *files]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr


def descriptors(root: Path, out: Path) -> bytes:
    """All files of a folder and those that they import, as a `FileDescriptorSet`."""
    target = out / "descriptors"
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{root}", "--include_imports", "--include_source_info"]
    run = subprocess.run(
        [*command, f"--descriptor_set_out={target}", *proto_files(root)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return target.read_bytes()
