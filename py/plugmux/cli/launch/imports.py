"""Which files of its own a plugin's program is made of: those that a script imports, and theirs in turn.

The files are read, not run. Modules of the standard library and of installed packages are left out: they do not change
while somebody works on a plugin. What is imported by a name that is made at run time is not seen.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

__all__ = ["program_files"]

JAVASCRIPT = (".js", ".mjs", ".cjs", ".ts", ".mts", ".cts")
RELATIVE = re.compile(r"""(?:\bfrom|\bimport|\brequire\s*\(|\bimport\s*\()\s*["'](\.{1,2}/[^"']+)["']""")
MAX_FILES = 5000
MAX_FILE = 4 << 20
"""Bytes of a file that is looked into."""


def program_files(words: Sequence[str], env: Mapping[str, str | None]) -> list[str]:
    """The files of a program: those that its command names, and what they import of the author's own.

    Args:
        words: the command, with the whole path of its program.
        env: the plugin's environment.
    """
    named = [word for word in words if os.path.isfile(word)]
    folders = [*(env.get("PYTHONPATH") or "").split(os.pathsep)]
    found = dict.fromkeys(named)
    waiting: list[tuple[str, list[str]]] = []
    for file in named:
        if file.endswith(JAVASCRIPT):
            waiting.append((file, []))
        elif (first := _first_line(file)) is not None and (file.endswith(".py") or "python" in first):
            waiting.append((file, [os.path.dirname(os.path.abspath(file)), *folders, *_linked(first)]))
    for word in words[1:]:  # MODULE:OBJECT of `python -m plugmux.plugin`
        if "-m" in words and re.fullmatch(r"[\w.]+(:[\w.]+)?", word):
            waiting += [(file, folders) for file in _module_files(word.partition(":")[0], folders) if file not in found]
    while waiting and len(found) < MAX_FILES:
        file, path = waiting.pop()
        found.setdefault(file)
        for imported in _imports(file, path):
            if imported not in found:
                found[imported] = None
                waiting.append((imported, path))
    return list(found)


def _imports(file: str, path: Sequence[str]) -> Iterator[str]:
    text = _text(file)
    if text is None:
        return
    if file.endswith(JAVASCRIPT):
        for relative in RELATIVE.findall(text):
            yield from _javascript(Path(file).parent / relative)
        return
    try:
        nodes = list(ast.walk(ast.parse(text)))
    except (SyntaxError, ValueError, RecursionError):
        return  # The plugin's start tells.
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _module_files(alias.name, path)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield from _from(node.module, node.names, path)
        elif isinstance(node, ast.ImportFrom):
            parent = Path(file).parents[node.level - 1]
            names = [node.module] if node.module else [alias.name for alias in node.names]
            for name in names:
                yield from _module_files(name, [str(parent)])


def _from(module: str, names: Iterable[ast.alias], path: Sequence[str]) -> Iterator[str]:
    yield from _module_files(module, path)
    for alias in names:
        yield from _module_files(f"{module}.{alias.name}", path)


def _module_files(name: str, path: Sequence[str]) -> Iterator[str]:
    """The file of a module and those of its packages, if one of the folders has them."""
    parts = name.split(".")
    for folder in path:
        base = Path(folder or os.curdir)
        found = []
        for number in range(1, len(parts) + 1):
            inner = base.joinpath(*parts[:number])
            found += [str(file) for file in (inner / "__init__.py", inner.with_suffix(".py")) if file.is_file()]
        if found:
            yield from found
            return


def _javascript(path: Path) -> Iterator[str]:
    """The file of a relative import: TypeScript names the .js file that its own becomes."""
    candidates = [path, *(path.with_suffix(suffix) for suffix in (".ts", ".mts", ".cts"))]
    candidates += [path.with_name(path.name + suffix) for suffix in JAVASCRIPT]
    yield from (os.path.normpath(each) for each in candidates if each.is_file())


def _linked(first: str) -> Iterator[str]:
    """The folders that the environment of an interpreter links to: those of packages in development."""
    program = first.removeprefix("#!").strip().split(" ")[0]
    environment = Path(program).parent.parent
    for file in sorted(environment.glob("lib/python*/site-packages/*.pth")):
        for line in (_text(str(file)) or "").splitlines():
            if os.path.isdir(line.strip()):
                yield line.strip()


def _first_line(file: str) -> str | None:
    """The first line of a text; `None` for a binary."""
    try:
        with open(file, "rb") as opened:
            first = opened.read(512).partition(b"\n")[0]
            return first.decode()
    except (OSError, ValueError):
        return None


def _text(file: str) -> str | None:
    try:
        with open(file, encoding="utf-8") as opened:
            return opened.read(MAX_FILE)
    except (OSError, ValueError):
        return None
