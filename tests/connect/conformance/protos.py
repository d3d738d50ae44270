"""The conformance suite's own protos, generated where they are needed from the suite's Go module."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

MODULE = "connectrpc.com/conformance@v1.0.6"


def module_dir() -> Path:
    """Where Go keeps the module; it is downloaded if it is not there."""
    found = subprocess.run(
        ["go", "mod", "download", "-json", MODULE],
        check=True,
        capture_output=True,
        text=True,
        cwd=tempfile.gettempdir(),
    )
    return Path(next(line.split('"')[3] for line in found.stdout.splitlines() if '"Dir":' in line))


def generate(out: Path) -> None:
    """Generate the messages, and the stubs by our own generator, into a folder."""
    root = module_dir() / "proto"
    plugin = out / "protoc-gen-plugmux"
    path = [str(Path(__file__).parents[3] / "py"), *sys.path]
    plugin.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path[:0] = {path!r}\n"
        "from plugmux.connect.codegen.plugin import main\nsys.exit(main())\n"
    )
    plugin.chmod(0o755)
    files = sorted(str(file.relative_to(root)) for file in root.rglob("*.proto"))
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{root}", f"--python_out={out}"]
    subprocess.run([*command, f"--plugin={plugin}", f"--plugmux_out={out}", *files], check=True)
    (out / "connectrpc/__init__.py").touch()  # or an installed package of this name would hide ours


if __name__ == "__main__":
    generate(Path(sys.argv[1]))
