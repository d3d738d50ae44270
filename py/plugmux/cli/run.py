"""`plugmux run`: a runtime for everybody of this user, until a signal."""

from __future__ import annotations

import argparse
import signal
import sys
from typing import Any

from ..address import Address
from .address import default_addresses

__all__ = ["add", "run"]

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def add(commands: Any) -> argparse.ArgumentParser:
    """Declare the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "run",
        help="run a runtime",
        description="Run a runtime until a signal ends it. When it is ready it says so on stderr: listening on ADDR.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--plugin", metavar="CMD", action="append", default=[], help="launch this plugin, a command line"
    )
    parser.add_argument("--plugin-dir", metavar="DIR", help="launch every executable file in this directory")
    parser.add_argument(
        "--listen",
        metavar="ADDR",
        action="append",
        default=[],
        help="listen at unix:/path or unix:@name; by default at a socket of the user's own",
    )
    return parser


async def run(options: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    addresses = [str(Address.parse(text)) for text in options.listen] or [str(default_addresses()[0])]
    import asyncio

    from ..runtime import Launch, Runtime
    from ..secrets import Resolver, secrets_services

    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in ENDING:
        loop.add_signal_handler(number, ended.set)
    runtime = Runtime(
        [Launch.parse(command) for command in options.plugin], plugin_dir=options.plugin_dir, listen=addresses
    )
    for service in secrets_services(runtime, Resolver(runtime)):
        runtime.mount(service)
    async with runtime:
        for address in runtime.addresses:
            print(f"listening on {address}", file=sys.stderr, flush=True)
        await ended.wait()
    return 0
