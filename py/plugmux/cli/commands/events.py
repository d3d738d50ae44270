"""`plugmux events`: what happens to the plugins of a runtime, as it happens."""

from __future__ import annotations

import argparse
from typing import Any

from ..launch.network import add_network_options
from ..output import write_json_line, write_line
from ..target import add_connect_option, add_peer_users_option, open_runtime
from ..times import wire_time

__all__ = ["add", "run"]


def add(commands: Any) -> argparse.ArgumentParser:
    """Declare the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "events",
        help="print what happens to plugins",
        description="Print a line for each plugin as it stands, and then one for every change, until the runtime "
        "ends: time, plugin, state, health, and why.",
        allow_abbrev=False,
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object a line")
    add_connect_option(parser)
    add_peer_users_option(parser)
    add_network_options(parser)
    return parser


async def run(options: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    transport = open_runtime(options)
    from plugmux_proto.plugmux.v1.runtime_connect import RuntimeClient
    from plugmux_proto.plugmux.v1.runtime_pb2 import EventsRequest

    async with RuntimeClient(transport).events(EventsRequest()) as events:
        async for event in events:
            told = {
                "time": wire_time(event.time),
                "plugin": event.plugin,
                "state": event.state,
                "health": event.health,
                "status": event.status,
            }
            is_change = event.kind in ("", "change")
            if options.json:
                told |= {"identity": event.identity} if event.identity else {}
                write_json_line(told | {"before": event.before} | ({} if is_change else {"kind": event.kind}))
            else:
                write_line(*(told if is_change else told | {"state": event.kind}).values())
    return 0
