"""A runtime as a picture: boxes for it and its plugins, arrows for who calls whom."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plugmux_proto.plugmux.v1.inspect_pb2 import WatchResponse

__all__ = ["Arrow", "Box", "Picture", "as_mermaid", "picture_of"]

HOST_NAME = ""
OWN_PACKAGES = ("plugmux.v1.", "grpc.")
"""What services of plugmux' own begin with: calls of them are no news."""


@dataclass(frozen=True, slots=True)
class Box:
    """A box.

    Args:
        name: what arrows call it by.
        title: its first line.
        lines: those below.
        runs: whether what it stands for runs.
    """

    name: str
    title: str
    lines: tuple[str, ...] = ()
    runs: bool = True


@dataclass(frozen=True, slots=True)
class Arrow:
    """An arrow.

    Args:
        start: the name of the box that calls.
        end: the name of the box that is called.
        label: what stands at it; empty where no call has been seen.
    """

    start: str
    end: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """Boxes, and arrows between them."""

    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]


def picture_of(reports: Iterable[WatchResponse]) -> Picture:
    """The picture of a runtime, by the reports of some time, the last of which says how plugins stand."""
    calls: dict[tuple[str, str], dict[str, int]] = {}
    last = None
    for last in reports:
        for each in last.methods:
            service = each.method.partition("/")[0]
            if each.caller == each.callee or service.startswith(OWN_PACKAGES) or not each.calls:
                continue
            calls.setdefault((each.caller, each.callee), {})[each.method] = each.calls
    assert last is not None
    boxes = {HOST_NAME: Box(HOST_NAME, f"{last.host.name} {last.host.version}", (f"process {last.host.pid}",))}
    for plugin in last.plugins:
        if plugin.name not in boxes:
            state = plugin.state if plugin.health in ("", "serving") else f"{plugin.state}, {plugin.health}"
            title = f"{plugin.name} {plugin.version}".rstrip()
            boxes[plugin.name] = Box(plugin.name, title, (state, *plugin.services), plugin.state == "running")
    seen = {pair: methods for pair, methods in calls.items() if set(pair) <= boxes.keys()}
    arrows = [Arrow(start, end, _label(methods)) for (start, end), methods in sorted(seen.items())]
    arrows += [Arrow(HOST_NAME, name) for name in boxes if name != HOST_NAME and (HOST_NAME, name) not in seen]
    return Picture(tuple(boxes.values()), tuple(arrows))


def _label(methods: dict[str, int]) -> str:
    """What stands at an arrow: the services, and how many calls there were of them."""
    services: dict[str, int] = {}
    for method, count in methods.items():
        name = method.partition("/")[0].rpartition(".")[2]
        services[name] = services.get(name, 0) + count
    told = [f"{name} ({count:,})" for name, count in sorted(services.items(), key=lambda item: -item[1])]
    return ", ".join(told[:2]) + (f" and {len(told) - 2} more" if len(told) > 2 else "")


def as_mermaid(picture: Picture) -> str:
    """The picture as a flow chart of Mermaid."""
    ids = {box.name: f"n{number}" for number, box in enumerate(picture.boxes)}
    lines = ["flowchart LR"]
    for box in picture.boxes:
        text = "<br/>".join(map(_escaped, (box.title, *box.lines)))
        lines.append(f'  {ids[box.name]}["{text}"]' + ("" if box.runs else ":::down"))
    for arrow in picture.arrows:
        link = f'-->|"{_escaped(arrow.label)}"|' if arrow.label else "-.->"
        lines.append(f"  {ids[arrow.start]} {link} {ids[arrow.end]}")
    lines.append("  classDef down stroke-dasharray: 4 4")
    return "\n".join(lines)


def _escaped(text: str) -> str:
    """A text as Mermaid takes it: what could be markup is written as an entity, by its number."""
    return "".join(char if char.isalnum() or char in " .,-_/():+" else f"#{ord(char)};" for char in text)
