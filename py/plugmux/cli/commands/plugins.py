"""`plugmux plugins`: what runs, what it serves, and switches for it."""

from __future__ import annotations

import argparse
from typing import Any

from ...errors import ConfigError
from ..launch.options import in_time
from ..output import write_json, write_table
from ..target import Listed, add_target_options, open_target

__all__ = ["add", "run"]

ACTIONS = ("enable", "disable", "restart")
HEAD = ("NAME", "VERSION", "STATUS", "SERVES")
RUNNING = "running"


def add(commands: Any) -> argparse.ArgumentParser:
    """Declare the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "plugins",
        help="list or switch plugins",
        description="List plugins: name, version, status, and the pattern or the services that each serves. On a "
        "terminal in columns under a head, else as tab-separated lines without one. Or switch a plugin of a runtime: "
        "disable ends it and keeps it from being started, enable starts it again, restart does both.",
        allow_abbrev=False,
    )
    # With `choices` an unknown option's value would be blamed, and not the option.
    action = parser.add_argument("action", metavar="|".join(ACTIONS), nargs="?", help="what to do with one of them")
    action.completer = lambda **_: ACTIONS  # type: ignore[attr-defined]  # argcomplete reads it
    parser.add_argument("name", metavar="NAME", nargs="?", help="the plugin to switch")
    add_target_options(parser)
    parser.add_argument(
        "--available", action="store_true", help="list what could be run by its name and from where, and run nothing"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON array of objects")
    return parser


async def run(options: argparse.Namespace) -> int:
    """Run the command and return the exit status: 1 where a plugin that it was to launch does not run."""
    if options.action not in (None, *ACTIONS):
        raise ConfigError(f"plugins does not know {options.action!r}: it takes {', '.join(ACTIONS)}, or lists them all")
    if options.available:
        return _list_available(options)
    if options.action is not None:
        return await _switch(options)
    async with open_target(options) as target, in_time(options.timeout):
        plugins = await target.plugins()
    if options.json:
        write_json([_as_json(plugin) for plugin in plugins])
    else:
        write_table(HEAD, [(plugin.name, plugin.version or "-", plugin.status, _serves(plugin)) for plugin in plugins])
    return 1 if options.plugin and any(plugin.status != RUNNING for plugin in plugins) else 0


def _list_available(options: argparse.Namespace) -> int:
    if options.action is not None or options.plugin or options.connect:
        raise ConfigError("plugins --available lists what could be run: it takes --json alone")
    from dataclasses import asdict

    from ..launch.available import available

    found = available()
    if options.json:
        write_json([asdict(plugin) for plugin in found])
    else:
        rows = [
            (each.name, each.version or "-", each.kind, each.where + (each.error and f": {each.error}"))
            for each in found
        ]
        write_table(("NAME", "VERSION", "FOUND AS", "WHERE"), rows)
    return 0


async def _switch(options: argparse.Namespace) -> int:
    if options.name is None or options.plugin or options.json:
        raise ConfigError(f"plugins {options.action} takes the NAME of a plugin of a runtime, and --connect at most")
    from plugmux_proto.plugins.v1 import plugins_pb2 as pb
    from plugmux_proto.plugins.v1.plugins_connect import PluginManagementClient

    async with open_target(options) as target:
        client = PluginManagementClient(target.transport(None))
        match options.action:
            case "enable":
                await client.enable_plugin(pb.EnablePluginRequest(name=options.name))
            case "disable":
                await client.disable_plugin(pb.DisablePluginRequest(name=options.name))
            case _:
                await client.restart_plugin(pb.RestartPluginRequest(name=options.name))
    return 0


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
        "health": plugin.health or None,
        "capabilities": list(plugin.capabilities),
        "labels": dict(plugin.labels),
        "protocol_version": plugin.protocol_version or None,
        "configurable": plugin.configurable,
        "identity": plugin.identity or None,
        "address": plugin.address or None,
    }
