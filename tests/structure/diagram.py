"""The layers of the package as a Mermaid diagram, drawn from its imports into docs/architecture.md.

`python tests/structure/diagram.py` prints it; `--write` puts it into the page.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from module_imports import read_imports

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/architecture.md"
BEGIN, END = "<!-- drawn by `make diagram` -->\n", "<!-- end -->"
PLACE = re.compile(re.escape(BEGIN) + r".*?" + re.escape(END), re.DOTALL)


def layers(package: Path) -> dict[str, set[str]]:
    """What each folder or loose module of the package imports of the others."""
    found: dict[str, set[str]] = {}
    for name, targets in read_imports(package).items():
        if name:
            here = name.split(".")[0]
            found.setdefault(here, set()).update(to.split(".")[0] for to in targets if to)
    return {layer: to - {layer} for layer, to in found.items()}


def draw(package: Path) -> str:
    """The diagram: an arrow from each layer to those directly below it, without what follows from other arrows."""
    below = layers(package)

    def reach(layer: str, seen: set[str]) -> set[str]:
        for to in below[layer] - seen:
            seen.add(to)
            reach(to, seen)
        return seen

    lines = ["```mermaid", "graph TD"]
    for layer in sorted(below):
        ends = [reach(to, set()) for to in below[layer]]
        indirect = set().union(*(end for end in ends if layer not in end))  # not by way of a circle
        lines += [f"  {layer} --> {to}" for to in sorted(below[layer] - indirect)]
    return "\n".join([*lines, "```", ""])


def page_with(diagram: str) -> str:
    """The page as it is with that diagram in its place."""
    return PLACE.sub(lambda _: BEGIN + diagram + END, PAGE.read_text())


def drawn_in(page: str) -> str:
    """The diagram that a page has between its markers.

    Raises:
        ValueError: the page has no such place, or several.
    """
    (found,) = PLACE.findall(page)
    return str(found).removeprefix(BEGIN).removesuffix(END)


if __name__ == "__main__":
    drawn = draw(ROOT / "py/plugmux")
    if "--write" in sys.argv:
        PAGE.write_text(page_with(drawn))
    else:
        print(drawn)
