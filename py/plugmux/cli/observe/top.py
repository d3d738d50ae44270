"""`plugmux top`: the plugins of a runtime in a table that follows them."""

from __future__ import annotations

import argparse
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..output import write_json, write_json_line, write_table
from ..target import add_connect_option, add_peer_users_option, open_runtime
from .rates import Rates
from .table import METHODS, PLUGINS, SORTS, View, lines, rows, summary

if TYPE_CHECKING:
    from plugmux_proto.plugmux.v1.inspect_pb2 import WatchResponse

    from .screen import Screen

__all__ = ["add", "run", "seconds", "watching"]

HELP = "q quits, tab shows methods or plugins; order by " + ", ".join(
    f"{key} {name}" for key, (name, _) in SORTS.items()
)
END = frozenset({"q", "Q", "\x03", "\x04"})


def add(commands: Any) -> argparse.ArgumentParser:
    """Declare the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "top",
        help="show what plugins do, in a table that follows them",
        description="Show the plugins of a runtime: calls and errors per second, latencies, restarts, processor and "
        f"memory. On a terminal {HELP}. Elsewhere the table is printed once, as tab-separated lines.",
        allow_abbrev=False,
    )
    parser.add_argument("--interval", metavar="S", type=seconds, default=1.0, help="seconds between two looks; 1")
    parser.add_argument("--once", action="store_true", help="print the table of one interval, and end")
    parser.add_argument("--json", action="store_true", help="print a JSON object for each interval, one a line")
    parser.add_argument("--methods", action="store_true", help="show methods, by who calls whom, in place of plugins")
    parser.add_argument(
        "--sort", choices=[name for name, _ in SORTS.values()], default="calls", help="what to order rows by; calls"
    )
    add_connect_option(parser)
    add_peer_users_option(parser)
    return parser


def seconds(text: str) -> float:
    """Read a number of seconds from a tenth to a minute, as an option says it."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.1 <= value <= 60:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 0.1 to 60")
    return value


async def run(options: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    from .screen import is_usable, opened

    view = View(next(key for key, (name, _) in SORTS.items() if name == options.sort), options.methods)
    async with watching(options, options.interval) as reports:
        if options.json or options.once or not is_usable():
            await _print(reports, view, once=options.once, json=options.json)
        else:
            with opened() as screen:
                await _follow(reports, view, screen)
    return 0


@asynccontextmanager
async def watching(options: argparse.Namespace, interval: float) -> AsyncIterator[AsyncIterator[WatchResponse]]:
    """The reports of the runtime that the options name, for the length of a block."""
    transport = open_runtime(options)
    from plugmux_proto.plugmux.v1.inspect_connect import InspectClient
    from plugmux_proto.plugmux.v1.inspect_pb2 import WatchRequest

    request = WatchRequest()
    request.interval.FromNanoseconds(int(interval * 1e9))
    async with InspectClient(transport).watch(request) as reports:
        yield reports


async def _print(reports: AsyncIterator[WatchResponse], view: View, *, once: bool, json: bool) -> None:
    rates = Rates()
    async for report in reports:
        rates.feed(report)
        if not rates.ready:
            continue
        if not json:
            write_table(METHODS if view.methods else PLUGINS, rows(rates, view))
            return
        if once:
            write_json(rates.as_json())
            return
        write_json_line(rates.as_json())


async def _follow(reports: AsyncIterator[WatchResponse], view: View, screen: Screen) -> None:
    """Draw each report, and again at each key, until the runtime ends or a key ends it."""
    import asyncio

    rates = Rates()
    coming = asyncio.ensure_future(anext(reports, None))
    pressed = asyncio.ensure_future(screen.keys.get())
    try:
        while True:
            await asyncio.wait([coming, pressed], return_when=asyncio.FIRST_COMPLETED)
            if pressed.done():
                key = pressed.result()
                if key in END:
                    return
                view = _changed(view, key)
                pressed = asyncio.ensure_future(screen.keys.get())
            if coming.done():
                report = coming.result()
                if report is None:
                    return
                rates.feed(report)
                coming = asyncio.ensure_future(anext(reports, None))
            if rates.last is not None:
                columns, height = screen.size
                screen.draw(_screenful(rates, view, columns - 1, height))
    finally:
        for task in (coming, pressed):
            task.cancel()
        await asyncio.gather(coming, pressed, return_exceptions=True)


def _changed(view: View, key: str) -> View:
    if key == "\t":
        return replace(view, methods=not view.methods)
    return replace(view, sort=key) if key in SORTS else view


def _screenful(rates: Rates, view: View, columns: int, height: int) -> list[str]:
    table = lines(rates, view, columns)
    room = max(height - 4, 1)
    left = f"  and {len(table) - room} more" if len(table) > room else ""
    foot = f"by {SORTS[view.sort][0]}  |  {HELP}"
    return [summary(rates)[:columns], "", *table[:room], left, foot[:columns]][:height]
