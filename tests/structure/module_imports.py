"""The imports of a package, file by file, as its source says them: wherever they stand, typing-only ones included."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path

__all__ = ["circles", "modules", "read_imports"]


def modules(package: Path) -> dict[str, Path]:
    """Every module of a package by its dotted name below it; the package's own face is `""`."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@functools.cache
def read_imports(package: Path) -> Mapping[str, set[str]]:
    """What each module of a package imports of the others, by dotted names below it."""
    known = modules(package)
    return {name: set(_imports(name, path, package.name, known)) - {name} for name, path in known.items()}


def _imports(name: str, path: Path, package: str, known: Mapping[str, Path]) -> Iterator[str]:
    here = name.split(".") if name else []
    folder = here if path.name == "__init__.py" else here[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            said = node.module.split(".") if node.module else []
            if node.level:
                target = [*folder[: len(folder) - node.level + 1], *said]
            elif said[:1] == [package]:
                target = said[1:]
            else:
                continue
            for alias in node.names:
                inner = ".".join([*target, alias.name])
                yield inner if inner in known else ".".join(target)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == package:
                    yield ".".join(alias.name.split(".")[1:])


def circles(imports: Mapping[str, set[str]], faces: set[str]) -> list[list[str]]:
    """Groups of modules that import each other, by Tarjan's algorithm; a package's own face (`faces`) does not count.

    Returns:
        Each group of two or more, sorted.
    """
    graph = {name: {to for to in found if to not in faces} for name, found in imports.items() if name not in faces}
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for to in graph.get(name, ()):
            if to not in index:
                visit(to)
                low[name] = min(low[name], low[to])
            elif to in stack:
                low[name] = min(low[name], index[to])
        if low[name] == index[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(group) > 1:
                found.append(sorted(group))

    for name in graph:
        if name not in index:
            visit(name)
    return sorted(found)
