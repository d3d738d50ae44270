"""Run by `make dist`: builds what a release publishes, into build/dist, and prints it.

    plugmux-0.1.0-py3-none-any.whl, plugmux-0.1.0.tar.gz     for PyPI
    plugmux-0.1.0.tgz                                        for npm
    go/plugmux.dev/@v/v0.1.0.{info,mod,zip} and list         the Go module as a proxy serves it

The Go module is the repository at the tag `v0.1.0`: its `go.mod` lies at the root, so the tag has no prefix. The zip
has what the tag would have: the files that git knows, without modules of their own (those with another `go.mod`).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from plugmux.contract.version import VERSION

ROOT = Path(__file__).parents[2]
DIST = ROOT / "build/dist"
GO_MODULE = "plugmux.dev"


def run(*command: str, cwd: Path = ROOT) -> str:
    """What a program prints; its errors end this one."""
    return subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.PIPE, text=True).stdout


def build_python(target: Path) -> None:
    """The wheel, and the source distribution from which the same wheel can be built."""
    uv = Path(sys.executable).parent / "uv"
    run(str(uv), "build", "--quiet", "--out-dir", str(target))
    (target / ".gitignore").unlink(missing_ok=True)


def build_npm(target: Path) -> None:
    """The package of the TypeScript SDK."""
    run("npm", "pack", "--silent", "--workspace=ts", f"--pack-destination={target}")


def build_go(target: Path) -> None:
    """The files by which a Go proxy serves the module."""
    folder = target / "go" / GO_MODULE / "@v"
    folder.mkdir(parents=True)
    files = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    inner = {PurePosixPath(file).parent for file in files if file.endswith("/go.mod")}
    with zipfile.ZipFile(folder / f"{VERSION}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(filter(None, files)):
            path = ROOT / file
            if path.is_file() and not path.is_symlink() and not inner & set(PurePosixPath(file).parents):
                archive.write(path, f"{GO_MODULE}@{VERSION}/{file}")
    shutil.copy(ROOT / "go.mod", folder / f"{VERSION}.mod")
    committed = datetime.fromtimestamp(int(run("git", "log", "-1", "--format=%ct")), UTC)
    info = {"Version": VERSION, "Time": committed.strftime("%Y-%m-%dT%H:%M:%SZ")}
    (folder / f"{VERSION}.info").write_text(json.dumps(info))
    (folder / "list").write_text(f"{VERSION}\n")


def contents(file: Path) -> list[str]:
    """The files in an archive."""
    if file.suffix in (".whl", ".zip"):
        with zipfile.ZipFile(file) as archive:
            return archive.namelist()
    with tarfile.open(file) as archive:
        return archive.getnames()


def main() -> None:
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir(parents=True)
    build_python(DIST)
    build_npm(DIST)
    build_go(DIST)
    for file in sorted(path for path in DIST.rglob("*") if path.suffix in (".whl", ".gz", ".tgz", ".zip")):
        print(f"{os.path.relpath(file, ROOT)}  {file.stat().st_size // 1024} KiB, {len(contents(file))} files")
    print(
        f"to publish: git tag {VERSION} (Go); uv publish build/dist/*.whl build/dist/*.gz; npm publish build/dist/*.tgz"
    )


if __name__ == "__main__":
    main()
