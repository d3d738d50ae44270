"""`plugmux plugins`: what runs, and what it serves."""

from __future__ import annotations

import argparse
from typing import Any

from .output import write_json, write_table
from .target import Listed, add_target_options, open_target

__all__ = ["add", "run"]

HEAD = ("NAME", "VERSION", "STATUS", "SERVES")
RUNNING = "running"


def add(commands: Any) -> argparse.ArgumentParser:
    """Declare the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "plugins",
        help="list plugins",
        description="List plugins: name, version, status, and the pattern or the services that each serves. On a "
        "terminal in columns under a head, else as tab-separated lines without one.",
        allow_abbrev=False,
    )
    add_target_options(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON array of objects")
    return parser


async def run(options: argparse.Namespace) -> int:
    """Run the command and return the exit status: 1 where a plugin that it was to launch does not run."""
    async with open_target(options) as target:
        plugins = await target.plugins()
    if options.json:
        write_json([_as_json(plugin) for plugin in plugins])
    else:
        write_table(HEAD, [(plugin.name, plugin.version or "-", plugin.status, _serves(plugin)) for plugin in plugins])
    return 1 if options.plugin and any(plugin.status != RUNNING for plugin in plugins) else 0


def _serves(plugin: Listed) -> str:
    return ",".join(filter(None, [plugin.pattern, *plugin.services])) or "-"


def _as_json(plugin: Listed) -> dict[str, object]:
    return {
        "name": plugin.name,
        "version": plugin.version,
        "status": plugin.status,
        "message": plugin.message,
        "pattern": plugin.pattern,
        "services": list(plugin.services),
    }
