"""A picture as SVG: a file of its own that any browser shows, light or dark, without scripts and without fonts."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from .layout import LINE_HEIGHT, PADDING, Layout, Placement, laid_out
from .picture import Arrow, Picture

__all__ = ["as_svg"]

STYLE = """
    text { font: 12px ui-monospace, "DejaVu Sans Mono", Menlo, monospace; fill: #1f2328; }
    .title { font-weight: bold; }
    .box { fill: #f6f8fa; stroke: #59636e; }
    .down .box { stroke-dasharray: 4 4; fill: none; }
    .down text { fill: #59636e; }
    .arrow { fill: none; stroke: #0969da; }
    .back { stroke: #8250df; }
    .unseen { stroke: #59636e; stroke-dasharray: 3 4; }
    .tip { fill: #0969da; } .back-tip { fill: #8250df; } .unseen-tip { fill: #59636e; }
    .label { fill: #0969da; } .back-label { fill: #8250df; }
    .label, .back-label { stroke: #ffffff; stroke-width: 5px; stroke-linejoin: round; paint-order: stroke; }
    .paper { fill: #ffffff; }
"""
DARK = """
    text { fill: #f0f6fc; } .paper { fill: #0d1117; } .box { fill: #151b23; stroke: #9198a1; }
    .arrow { stroke: #4493f8; } .back { stroke: #ab7df8; } .unseen { stroke: #9198a1; }
    .tip { fill: #4493f8; } .back-tip { fill: #ab7df8; } .unseen-tip { fill: #9198a1; }
    .label { fill: #4493f8; } .back-label { fill: #ab7df8; }
    .label, .back-label { stroke: #0d1117; } .down text { fill: #9198a1; }
"""


def as_svg(picture: Picture, *, dark: bool | None = None) -> str:
    """The picture as an SVG document.

    Args:
        picture: what to draw.
        dark: its colours are those for a dark page, or for a light one. Without it, they follow the system of whoever
            looks at it.
    """
    layout = laid_out(picture)
    width, height = round(layout.width), round(layout.height)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">',
        f"  <style>{_style(dark)}  </style>",
        "  <defs>",
        *(_marker(kind) for kind in ("tip", "back-tip", "unseen-tip")),
        "  </defs>",
        '  <rect class="paper" width="100%" height="100%"/>',
        *_arrows(picture, layout),
        *_labels(picture, layout),
        *_boxes(picture, layout),
        "</svg>",
    ]
    return "\n".join(parts)


def _style(dark: bool | None) -> str:
    if dark is None:
        return f"{STYLE}  @media (prefers-color-scheme: dark) {{{DARK}  }}\n"
    return STYLE + DARK if dark else STYLE


def _marker(kind: str) -> str:
    return (
        f'    <marker id="{kind}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        f'<path class="{kind}" d="M0 0 8 4 0 8z"/></marker>'
    )


def _boxes(picture: Picture, layout: Layout) -> Iterator[str]:
    for box in picture.boxes:
        place = layout.places[box.name]
        yield f'  <g class="{"up" if box.runs else "down"}">'
        size = f'width="{place.width:.0f}" height="{place.height:.0f}"'
        yield f'    <rect class="box" x="{place.x:.0f}" y="{place.y:.0f}" {size} rx="6"/>'
        for number, line in enumerate((box.title, *box.lines)):
            kind = ' class="title"' if number == 0 else ""
            x, y = place.x + PADDING, place.y + PADDING + 9 + number * LINE_HEIGHT
            yield f'    <text{kind} x="{x:.0f}" y="{y:.0f}">{_text(line)}</text>'
        yield "  </g>"


def _arrows(picture: Picture, layout: Layout) -> Iterator[str]:
    for number, arrow in enumerate(picture.arrows):
        back = number in layout.back
        kind = "back" if back else "seen" if arrow.label else "unseen"
        tip = {"back": "back-tip", "seen": "tip", "unseen": "unseen-tip"}[kind]
        path, _, _ = _curve(arrow, layout, back=back)
        yield f'  <path class="arrow {kind}" d="{path}" marker-end="url(#{tip})"/>'


def _labels(picture: Picture, layout: Layout) -> Iterator[str]:
    for number, arrow in enumerate(picture.arrows):
        if arrow.label:
            back = number in layout.back
            _, x, y = _curve(arrow, layout, back=back)
            kind = "back-label" if back else "label"
            yield f'  <text class="{kind}" x="{x:.0f}" y="{y:.0f}" text-anchor="middle">{_text(arrow.label)}</text>'


def _curve(arrow: Arrow, layout: Layout, *, back: bool) -> tuple[str, float, float]:
    """The path of an arrow, and where its label stands. What runs back leaves and arrives a little lower."""
    start, end = layout.places[arrow.start], layout.places[arrow.end]
    if back:
        x1, y1, x2, y2 = start.x, _port(start, 0.75), end.x + end.width, _spread(arrow, layout, end, 0.75)
    else:
        x1, y1, x2, y2 = start.x + start.width, _spread(arrow, layout, start, 0.3), end.x, _port(end, 0.35)
    middle = (x1 + x2) / 2
    path = f"M{x1:.0f} {y1:.0f}C{middle:.0f} {y1:.0f} {middle:.0f} {y2:.0f} {x2:.0f} {y2:.0f}"
    near, far = (y1, y2) if back else (y2, y1)
    return path, middle, near * 0.75 + far * 0.25 + (14 if back else -6)


def _port(place: Placement, share: float) -> float:
    return place.y + place.height * share


def _spread(arrow: Arrow, layout: Layout, place: Placement, share: float) -> float:
    """Where an arrow meets the box that many arrows meet: each at a height of its own."""
    other = layout.places[arrow.end if place is layout.places[arrow.start] else arrow.start]
    whole = layout.height or 1.0
    return place.y + place.height * (share + 0.25 * ((other.y + other.height / 2) / whole - 0.5) * 2)


def _text(text: str) -> str:
    """A text as XML takes it; characters that XML does not have become a question mark."""
    allowed = "".join(char if char.isprintable() else "?" for char in text)
    return escape(allowed.encode("utf-8", "replace").decode(), quote=False)
