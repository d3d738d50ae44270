"""The diagram on the page about the architecture shows the layers that the code has."""

from __future__ import annotations

import re
from pathlib import Path

from diagram import PAGE, ROOT, draw, drawn_in, layers


def test_the_page_has_the_diagram_of_the_code() -> None:
    assert drawn_in(PAGE.read_text()) == draw(ROOT / "py/plugmux"), "run `make diagram`"


def test_the_page_says_what_each_layer_does() -> None:
    told = set(re.findall(r"^\| `(\w+)/?` \|", PAGE.read_text(), re.MULTILINE))
    assert told == set(layers(ROOT / "py/plugmux"))


def test_every_import_between_layers_is_a_path_of_arrows(tmp_path: Path) -> None:
    package = _package(tmp_path, top="middle bottom", middle="bottom", bottom="")
    assert "top --> middle" in draw(package)
    assert "top --> bottom" not in draw(package)


def test_two_layers_that_import_each_other_keep_their_arrows(tmp_path: Path) -> None:
    package = _package(tmp_path, one="two ground", two="one ground", ground="")
    drawn = draw(package)
    assert "one --> two" in drawn
    assert "two --> one" in drawn
    assert "--> ground" in drawn


def _package(folder: Path, **imports: str) -> Path:
    package = folder / "house"
    package.mkdir()
    (package / "__init__.py").write_text("")
    for name, below in imports.items():
        (package / f"{name}.py").write_text("".join(f"from . import {to}\n" for to in below.split()))
    return package
