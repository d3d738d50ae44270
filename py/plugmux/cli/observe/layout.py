"""Where the boxes and arrows of a picture go: in layers from left to right, by who calls whom.

A box stands right of all that call it, as far as that is possible: arrows that would close a circle are left out of
account and run back. Within a layer boxes stand in the order of the middle of their callers, so that few arrows cross.
(Sugiyama's method, without the layers' dummy nodes: pictures of a runtime have two or three layers.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .picture import Arrow, Box, Picture

__all__ = ["Layout", "Placement", "laid_out"]

CHARACTER = 7.2
"""Width of a character, of the font that the picture is drawn with."""

LINE_HEIGHT = 17.0
PADDING = 12.0
GAP = 26.0
"""Between the boxes of a layer."""

MARGIN = 20.0
SHORTEST_ARROW = 90.0


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a box is."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything is.

    Args:
        places: of the boxes, by their names.
        back: the arrows that run against the direction of the layers, by their numbers.
        width: of the whole picture.
        height: of the whole picture.
    """

    places: Mapping[str, Placement]
    back: frozenset[int]
    width: float
    height: float


def laid_out(picture: Picture) -> Layout:
    """Find a place for every box of a picture."""
    names = [box.name for box in picture.boxes]
    back = _back_arrows(names, picture.arrows)
    forward = [arrow for number, arrow in enumerate(picture.arrows) if number not in back]
    layer_of = _layers(names, forward)
    layers: list[list[str]] = [[] for _ in range(max(layer_of.values(), default=0) + 1)]
    for name in names:
        layers[layer_of[name]].append(name)
    for index, layer in enumerate(layers[1:], 1):
        before = {name: position for position, name in enumerate(layers[index - 1])}
        layer.sort(key=lambda name: _middle(name, forward, before))
    sizes = {box.name: _size(box) for box in picture.boxes}
    heights = [sum(sizes[name][1] + GAP for name in layer) - GAP for layer in layers]
    tallest = max(heights, default=0.0)
    places: dict[str, Placement] = {}
    x = MARGIN
    for index, layer in enumerate(layers):
        widest = max((sizes[name][0] for name in layer), default=0.0)
        y = MARGIN + (tallest - heights[index]) / 2
        for name in layer:
            height = sizes[name][1]
            places[name] = Placement(x, y, widest, height)
            y += height + GAP
        labels = [len(arrow.label) for arrow in picture.arrows if index in _span(arrow, layer_of)]
        x += widest + max(SHORTEST_ARROW, max(labels, default=0) * CHARACTER + 3 * PADDING)
    right = max((place.x + place.width for place in places.values()), default=0.0)
    return Layout(places, frozenset(back), right + MARGIN, tallest + 2 * MARGIN)


def _size(box: Box) -> tuple[float, float]:
    lines = (box.title, *box.lines)
    return max(map(len, lines)) * CHARACTER + 2 * PADDING, len(lines) * LINE_HEIGHT + 2 * PADDING - 4


def _span(arrow: Arrow, layer_of: Mapping[str, int]) -> range:
    """The gaps between layers that an arrow crosses."""
    ends = sorted((layer_of[arrow.start], layer_of[arrow.end]))
    return range(ends[0], ends[1])


def _back_arrows(names: Sequence[str], arrows: Sequence[Arrow]) -> set[int]:
    """The numbers of arrows that close a circle, by a walk in depth that begins with the first box."""
    leaving: dict[str, list[tuple[int, str]]] = {name: [] for name in names}
    for number, arrow in enumerate(arrows):
        leaving[arrow.start].append((number, arrow.end))
    back, done = set[int](), set[str]()
    for root in names:
        path, on_path = [(root, iter(leaving[root]))] if root not in done else [], {root}
        while path:
            name, rest = path[-1]
            for number, end in rest:
                if end in on_path:
                    back.add(number)
                elif end not in done:
                    path.append((end, iter(leaving[end])))
                    on_path.add(end)
                    break
            else:
                path.pop()
                on_path.discard(name)
                done.add(name)
    return back


def _layers(names: Sequence[str], arrows: Sequence[Arrow]) -> dict[str, int]:
    """The layer of each box: behind those of all that call it."""
    layer = dict.fromkeys(names, 0)
    for _ in names:  # A path has at most as many boxes.
        for arrow in arrows:
            layer[arrow.end] = max(layer[arrow.end], layer[arrow.start] + 1)
    return layer


def _middle(name: str, arrows: Sequence[Arrow], before: Mapping[str, int]) -> float:
    callers = [before[arrow.start] for arrow in arrows if arrow.end == name and arrow.start in before]
    return sum(callers) / len(callers) if callers else len(before) / 2
