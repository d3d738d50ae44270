"""Moves modules that protoc has written into a package: rewrites their imports of one another.

protoc's Python output imports the modules of other files by their paths: `from kv.v1 import kv_pb2`, whatever package
it is in. A directory named `types` cannot be imported at all, because Python has a module of that name.
"""

from __future__ import annotations

import re
from pathlib import Path

from .names import is_plain

__all__ = ["relocate"]

FROM_PACKAGE = re.compile(r"^from ([\w.]+) import (\w+)( as \w+)$", re.MULTILINE)
TOP_LEVEL = re.compile(r"^import (\w+)( as \w+)$", re.MULTILINE)
FROM_MODULE = re.compile(r"^from ([\w.]+) import ", re.MULTILINE)
DYNAMIC = re.compile(r"(\bimport_module\(')([^']+)(?='\))")
BUILT = re.compile(r"(\bBuildTopDescriptorsAndMessages\(DESCRIPTOR, ')([^']+)(?=',)")
"""The place where a module names itself, for the `__module__` of its classes."""


def relocate(directory: Path, package: str) -> None:
    """Rewrite the imports in all `_pb2` modules and their `.pyi` below a directory. A second run changes nothing.

    Imports of modules that are not in the directory are kept.

    Args:
        directory: the folder of the package, which holds the output.
        package: the name of the package.

    Raises:
        ValueError: `package` is not the name of a package.
    """
    if not is_plain(package):
        raise ValueError(f"{package!r} is not the name of a Python package")
    modules = {".".join(path.relative_to(directory).with_suffix("").parts) for path in directory.rglob("*_pb2.py")}
    for path in sorted([*directory.rglob("*_pb2.py"), *directory.rglob("*_pb2.pyi")]):
        text = path.read_text(encoding="utf-8")
        moved = _moved(text, modules, package)
        if moved != text:
            path.write_text(moved, encoding="utf-8")


def _moved(text: str, modules: set[str], package: str) -> str:
    def from_package(found: re.Match[str]) -> str:
        parent, leaf, alias = found.groups()
        return f"from {package}.{parent} import {leaf}{alias}" if f"{parent}.{leaf}" in modules else found[0]

    def top_level(found: re.Match[str]) -> str:
        return f"from {package} import {found[1]}{found[2]}" if found[1] in modules else found[0]

    def from_module(found: re.Match[str]) -> str:
        return f"from {package}.{found[1]} import " if found[1] in modules else found[0]

    def quoted(found: re.Match[str]) -> str:
        return f"{found[1]}{package}.{found[2]}" if found[2] in modules else found[0]

    text = FROM_PACKAGE.sub(from_package, text)
    text = TOP_LEVEL.sub(top_level, text)
    text = FROM_MODULE.sub(from_module, text)
    return BUILT.sub(quoted, DYNAMIC.sub(quoted, text))
