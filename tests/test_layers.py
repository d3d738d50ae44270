"""The layers of the package: each imports only what is below it."""

import ast
from pathlib import Path

import pytest

import plugmux

PACKAGE = Path(plugmux.__file__).parent

GROUND = {"errors", "exchange", "nesting", "aio", "contract"}
BELOW = {
    "errors": set[str](),
    "exchange": set[str](),
    "nesting": set[str](),
    "aio": {"errors"},
    "contract": {"errors", "nesting"},
    "schema": {"errors", "nesting"},
    "yamux": {"errors", "aio"},
    "http": GROUND,
    "connect": GROUND,
    "services": {"connect"},
    "link": GROUND | {"connect", "yamux", "http"},
    "plugin": GROUND | {"connect", "services", "http", "yamux", "link"},
    "runtime": GROUND | {"connect", "services", "http", "yamux", "link", "schema", "discovery", "runners"},
    "discovery": GROUND | {"runtime", "schema"},
    "runners": GROUND | {"link", "yamux", "runtime", "discovery"},
    "secrets": GROUND | {"connect", "runtime", "plugin"},
    "sync": GROUND | {"connect", "link", "runtime", "secrets"},
    "cli": GROUND | {"http", "connect", "runtime", "discovery", "runners", "secrets", "plugin"},
}
"""What each module or layer may import of the others. `connect` and `http` do not know each other, nor do `runtime` and
`plugin`."""

MODULES = [path for path in sorted(PACKAGE.rglob("*.py")) if path.parent != PACKAGE or path.name != "__init__.py"]


def layer_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """The layers of plugmux that a file imports, wherever in it the import stands."""
    depth = len(path.relative_to(PACKAGE).parts)
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == depth:
            found |= {node.module.split(".")[0]} if node.module else {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and (node.module or "").startswith("plugmux."):
            found.add((node.module or "").split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {name.name.split(".")[1] for name in node.names if name.name.startswith("plugmux.")}
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_below(path: Path) -> None:
    layer = layer_of(path)
    assert imported(path) - {layer} <= BELOW[layer]
