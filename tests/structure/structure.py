"""The structure of the package in numbers: `python tests/structure/structure.py [ROOT] [--before REVISION]`.

Every number is measured in the tree that it describes. `make house` prints those of an earlier revision and of the
present tree side by side.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from module_imports import circles, modules, read_imports

ROOT = Path(__file__).parents[2]
RUN_LENGTH = 6
"""Lines that two places must share to count as a repetition."""

CORE = "import asyncio, sys\nimport plugmux\nplugmux.Runtime(['x'])\n"
LIFE = Path(__file__).with_name("life.py")


def measure(root: Path) -> dict[str, object]:
    """All numbers of one tree.

    Args:
        root: the checkout.
    """
    package = root / "py/plugmux"
    files = modules(package)
    lengths = {path: len(path.read_text().splitlines()) for path in files.values()}
    folders = Counter(path.parent for path in files.values())
    imports = read_imports(package)
    faces = {name for name, path in files.items() if path.name == "__init__.py"}
    longest = max(lengths, key=lambda path: lengths[path])
    fullest = max(folders, key=lambda folder: folders[folder])
    loaded = _loaded(root)
    life = _life(root)
    return {
        "lines": sum(lengths.values()),
        "modules": len(files),
        "fullest folder": f"{folders[fullest]} ({_shown(fullest, package)}/)",
        "longest module": f"{lengths[longest]} ({_shown(longest, package)})",
        "modules over 400 lines": sum(length > 400 for length in lengths.values()),
        "modules beside the layers": sum(path.parent == package for path in files.values()) - 1,
        "circles of imports": len(circles(imports, faces)),
        "most constructor arguments": _most_arguments(files),
        "constructors over 10 arguments": sum(count > 10 for _, count in _constructors(files)),
        "names at top level": _top_level(package),
        'modules that Runtime(["x"]) loads': len(loaded),
        "of these in runtime/": sum(name.startswith("plugmux.runtime") for name in loaded),
        "files of runtime/ in a plugin's life": life["files"],
        "moves between them": life["moves"],
        f"runs of {RUN_LENGTH} lines that stand twice": _repeated(files),
    }


def _shown(path: Path, package: Path) -> str:
    return str(path.relative_to(package.parent))


def _constructors(files: dict[str, Path]) -> Iterator[tuple[str, int]]:
    for path in files.values():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                for inner in node.body:
                    if isinstance(inner, ast.FunctionDef) and inner.name == "__init__":
                        said = inner.args
                        yield node.name, len(said.args) + len(said.kwonlyargs) + len(said.posonlyargs) - 1


def _most_arguments(files: dict[str, Path]) -> str:
    name, count = max(_constructors(files), key=lambda found: found[1])
    return f"{count} ({name})"


def _top_level(package: Path) -> int:
    for node in ast.parse((package / "__init__.py").read_text()).body:
        if isinstance(node, ast.Assign) and any(isinstance(to, ast.Name) and to.id == "__all__" for to in node.targets):
            return len(ast.literal_eval(node.value))
    raise SystemExit(f"{package} has no __all__")


def _python(root: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(root / path) for path in PATHS)}
    ran = subprocess.run([sys.executable, *arguments], env=environment, cwd=root, capture_output=True, text=True)
    if ran.returncode:
        raise SystemExit(f"python {' '.join(arguments)[:80]} ended with {ran.returncode}: {ran.stderr[-2000:]}")
    return ran.stdout


PATHS = ("py", "gen/python", "examples/gen/python")


def _loaded(root: Path) -> list[str]:
    code = f"{CORE}print(*sorted(name for name in sys.modules if name.split('.')[0] == 'plugmux'))"
    return _python(root, "-c", code).split()


def _life(root: Path) -> dict[str, object]:
    told: dict[str, object] = json.loads(_python(root, str(LIFE), "--json").splitlines()[-1])
    return told


def _repeated(files: dict[str, Path]) -> int:
    places: dict[tuple[str, ...], set[tuple[Path, int]]] = defaultdict(set)
    for path in files.values():
        lines = [line.strip() for line in path.read_text().splitlines()]
        told = [line for line in lines if line and not line.startswith(("import ", "from ", "#", '"""', ")", '"'))]
        for start in range(len(told) - RUN_LENGTH + 1):
            places[tuple(told[start : start + RUN_LENGTH])].add((path, start))
    return sum(len(found) - 1 for found in places.values() if len(found) > 1)


def _before(revision: str, folder: Path) -> Path:
    archive = subprocess.run(["git", "archive", revision], cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive, check=True)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", nargs="?", default=ROOT, type=Path, help="the checkout to measure")
    parser.add_argument("--before", metavar="REVISION", help="measure this revision as well, and show both")
    options = parser.parse_args()
    after = measure(options.root.resolve())
    before: dict[str, object] = {}
    if options.before:
        with tempfile.TemporaryDirectory() as folder:
            before = measure(_before(options.before, Path(folder)))
    for name, value in after.items():
        print(f"{name:42}{before.get(name, '')!s:>34}{value!s:>46}" if before else f"{name:42}{value!s:>46}")


if __name__ == "__main__":
    main()
