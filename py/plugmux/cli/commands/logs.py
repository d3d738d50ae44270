"""`plugmux logs`: what the plugins of a runtime say."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from ...contract.nesting import parse_json
from ..launch.network import add_network_options
from ..output import write_json_line, write_line
from ..target import add_connect_option, add_peer_users_option, open_runtime
from ..times import wire_time

if TYPE_CHECKING:
    from plugmux_proto.plugmux.v1.runtime_pb2 import LogsResponse

__all__ = ["add", "run"]


def add(commands: Any) -> argparse.ArgumentParser:
    """Declare the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "logs",
        help="print what plugins say",
        description="Print the last lines of the plugins of a runtime, oldest first: time, level, plugin, and what "
        "was said.",
        allow_abbrev=False,
    )
    parser.add_argument("name", metavar="NAME", nargs="?", default="", help="the plugin; all by default")
    parser.add_argument("-f", "--follow", action="store_true", help="go on with the lines that come")
    parser.add_argument("--json", action="store_true", help="print a JSON object a line")
    add_connect_option(parser)
    add_peer_users_option(parser)
    add_network_options(parser)
    return parser


async def run(options: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    transport = open_runtime(options)
    from plugmux_proto.plugmux.v1.runtime_connect import RuntimeClient
    from plugmux_proto.plugmux.v1.runtime_pb2 import LogsRequest

    request = LogsRequest(name=options.name, follow=options.follow)
    async with RuntimeClient(transport).logs(request) as lines:
        async for line in lines:
            if options.json:
                write_json_line(_as_json(line))
            else:
                write_line(wire_time(line.time), line.level, line.plugin, _said(line))
    return 0


def _said(line: LogsResponse) -> str:
    return " ".join([line.message, *(f"{key}={json.dumps(value)}" for key, value in _fields(line).items())])


def _fields(line: LogsResponse) -> dict[str, object]:
    if not line.fields_json:
        return {}
    try:
        fields = parse_json(line.fields_json)
    except ValueError as error:
        return {"fields_json": str(error)}
    return fields if isinstance(fields, dict) else {"fields_json": fields}


def _as_json(line: LogsResponse) -> dict[str, object]:
    return {
        "time": wire_time(line.time),
        "plugin": line.plugin,
        "source": line.source,
        "level": line.level,
        "message": line.message,
        "fields": _fields(line),
    }
