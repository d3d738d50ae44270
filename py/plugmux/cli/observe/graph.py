"""`plugmux graph`: a picture of a runtime, its plugins, what they serve, and who calls whom."""

from __future__ import annotations

import argparse
from typing import Any

from ..output import write_text
from ..target import add_connect_option, add_peer_users_option
from .picture import as_mermaid, picture_of
from .svg import as_svg
from .top import seconds, watching

__all__ = ["add", "run"]

FORMATS = {"mermaid": as_mermaid, "svg": as_svg}


def add(commands: Any) -> argparse.ArgumentParser:
    """Declare the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "graph",
        help="draw a runtime, its plugins and their calls",
        description="Print a picture of a runtime: its plugins, the services that they serve, and who calls whom. A "
        "runtime counts calls only while somebody watches; --watch says for how long to do so first.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--format", choices=FORMATS, default="mermaid", help="mermaid, for Markdown (the default), or svg, a picture"
    )
    parser.add_argument("--watch", metavar="S", type=seconds, help="watch calls for so many seconds before")
    add_connect_option(parser)
    add_peer_users_option(parser)
    return parser


async def run(options: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    async with watching(options, options.watch or 1.0) as watched:
        reports = [await anext(watched)]
        if options.watch and (after := await anext(watched, None)) is not None:  # the runtime may end meanwhile
            reports.append(after)
    write_text(FORMATS[options.format](picture_of(reports)))
    return 0
