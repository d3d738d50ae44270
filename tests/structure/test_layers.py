"""The layers of the package: each imports only what is below it."""

import re
from pathlib import Path

import pytest

import plugmux
from module_imports import read_imports

PACKAGE = Path(plugmux.__file__).parent

GROUND = {"lazy", "errors", "bounds", "platform", "exchange", "aio", "contract"}
BELOW = {
    "lazy": set[str](),
    "errors": set[str](),
    "bounds": {"errors"},
    "platform": {"lazy", "errors"},
    "exchange": set[str](),
    "aio": {"errors", "platform"},
    "contract": {"errors", "platform"},
    "network": {"errors", "platform", "aio", "contract"},
    "yamux": {"errors", "bounds", "platform", "aio"},
    "http": GROUND,
    "connect": GROUND,
    "services": {"connect"},
    "link": GROUND | {"connect", "yamux", "http", "network"},
    "plugin": GROUND | {"connect", "services", "http", "yamux", "network", "link"},
    "runtime": GROUND | {"connect", "services", "http", "yamux", "network", "link"},
    "discovery": GROUND | {"runtime"},
    "runners": GROUND | {"connect", "http", "network", "link", "runtime"},
    "secrets": GROUND | {"connect", "runtime", "plugin"},
    "sync": GROUND | {"connect", "network", "link", "runtime", "discovery", "secrets"},
    "check": GROUND | {"connect", "services", "link", "yamux", "runtime"},
    "testing": GROUND | {"connect", "link", "plugin", "runtime", "dynamic"},
    "dynamic": GROUND | {"connect"},
    "inspector": GROUND | {"connect", "http", "link", "dynamic"},
    "new": {"errors", "contract", "platform"},
    "gateway": GROUND | {"connect", "network", "link", "runtime", "secrets"},
    "asgi": {"errors", "gateway"},
    "cli": GROUND
    | {
        "check",
        "gateway",
        "http",
        "connect",
        "network",
        "link",
        "runtime",
        "discovery",
        "runners",
        "secrets",
        "plugin",
        "new",
        "dynamic",
        "inspector",
    },
}
"""What each module or layer may import of the others. `connect` and `http` do not know each other, nor do `runtime` and
`plugin`."""


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    return {name: to for name, to in read_imports(PACKAGE).items() if name}


def test_every_layer_has_its_row(imports: dict[str, set[str]]) -> None:
    assert {name.split(".")[0] for name in imports} - {"__main__"} <= BELOW.keys()


@pytest.mark.parametrize("layer", BELOW)
def test_a_layer_imports_only_from_below(layer: str, imports: dict[str, set[str]]) -> None:
    modules = {name: to for name, to in imports.items() if name.split(".")[0] == layer}
    assert modules
    found = {name: {other.split(".")[0] for other in to} - {layer} - BELOW[layer] for name, to in modules.items()}
    assert {name: layers for name, layers in found.items() if layers} == {}


def test_one_module_alone_loads_from_above_by_a_name() -> None:
    """What an import does not show: a runtime that is given commands loads neither `discovery` nor `runners`."""
    named = re.compile(r"""import_module\(\s*f?["']plugmux\.([\w.]+)""")
    found = {
        (str(path.relative_to(PACKAGE)), name)
        for path in PACKAGE.rglob("*.py")
        for name in named.findall(path.read_text())
    }
    above = ("discovery", "discovery.names", "discovery.python", "runners.manual")
    assert found == {("runtime/source.py", name) for name in above}
