"""The results as a picture: for each work a group of bars, one bar for each system."""

from __future__ import annotations

from html import escape

from table import Rows

__all__ = ["chart"]

COLOURS = {
    "plugmux": "#2a6f97",
    "plugmux-uvloop": "#61a5c2",
    "go-pair": "#8ab17d",
    "go-yamux": "#8ab17d",
    "go-plugin": "#b5c99a",
    "ttrpc": "#dda15e",
    "grpc-aio": "#bc6c25",
    "floor": "#adb5bd",
}
OTHER = "#9d8189"
FIGURES = {"p50_us": "microseconds at the median (less is better)", "mib_per_s": "MiB/s", "mib": "MiB"}
BAR, GAP, WIDTH, LABEL = 14, 26, 420, 210


def chart(rows: Rows) -> str:
    """An SVG with a group for each work: calls by their median time, streams and bulk by bytes; longer is more."""
    parts, y = [], 20
    for work in dict.fromkeys(work for work, _ in rows):
        group = {system: figures for (other, system), figures in rows.items() if other == work}
        figure, unit = _figure(group)
        if figure is None:
            continue
        parts.append(f'<text x="0" y="{y}" font-weight="bold">{escape(work)}, {unit}</text>')
        largest = max(figures[figure] for figures in group.values() if figure in figures)
        for system, figures in group.items():
            if figure not in figures:
                continue
            y += BAR + 4
            length = max(figures[figure] / largest * WIDTH, 1)
            colour = COLOURS.get(system, OTHER)
            parts.append(f'<text x="{LABEL - 8}" y="{y}" text-anchor="end">{escape(system)}</text>')
            parts.append(f'<rect x="{LABEL}" y="{y - BAR + 3}" width="{length:.1f}" height="{BAR}" fill="{colour}"/>')
            parts.append(f'<text x="{LABEL + length + 6:.1f}" y="{y}">{figures[figure]:,.0f}</text>')
        y += GAP
    size = f'width="{LABEL + WIDTH + 100}" height="{y}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">'
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *parts, "</svg>\n"])


def _figure(group: dict[str, dict[str, float]]) -> tuple[str | None, str]:
    for figure, unit in FIGURES.items():
        if any(figure in figures for figures in group.values()):
            return figure, unit
    return None, ""
