"""The layers of the package: each imports only what is below it."""

import ast
from pathlib import Path

import pytest

import plugmux

PACKAGE = Path(plugmux.__file__).parent

BASE = {"errors", "exchange", "version", "address", "launch", "nesting", "registration"}
LINKED = {"forward", "link", "references", "remote", "servable", "site"}
BELOW = {
    "errors": set[str](),
    "exchange": set[str](),
    "compression": {"errors"},
    "deadline": set[str](),
    "threads": set[str](),
    "httpx": {"errors", "exchange"},
    "version": set[str](),
    "address": {"errors"},
    "nesting": set[str](),
    "launch": {"errors", "nesting"},
    "registration": {"errors", "semver"},
    "semver": {"errors"},
    "schema": {"errors", "nesting"},
    "pipes": set[str](),
    "handles": {"launch"},
    "yamux": {"errors"},
    "http": {"errors", "exchange", "address", "deadline", "pipes"},
    "connect": {"errors", "exchange", "compression", "deadline", "httpx", "nesting", "threads", "version"},
    "services": {"connect"},
    "otel": {"connect"},
    "references": {"exchange"},
    "remote": BASE | {"connect", "references"},
    "releasing": {"connect", "references"},
    "servable": BASE | {"connect"},
    "site": BASE | {"connect", "references", "releasing"},
    "forward": BASE | {"remote", "site"},
    "link": BASE | {"connect", "yamux", "http", "pipes", "references", "remote", "servable", "site"},
    "plugin": BASE | {"connect", "services", "http", "yamux", "link", "site", "servable"},
    "runtime": BASE | LINKED | {"connect", "services", "http", "yamux", "semver", "schema"},
    "secrets": BASE | {"connect", "runtime", "plugin"},
    "sync": BASE | {"connect", "references", "remote", "runtime", "secrets", "servable"},
    "cli": BASE | {"http", "connect", "runtime", "secrets", "plugin"},
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
