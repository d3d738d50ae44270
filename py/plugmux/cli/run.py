"""`plugmux run`: a runtime for everybody of this user, until a signal."""

from __future__ import annotations

import argparse
import signal
import sys
from typing import TYPE_CHECKING, Any

from ..address import Address
from .address import default_addresses

if TYPE_CHECKING:
    from ..runtime import Runtime

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
    parser.add_argument(
        "--wait",
        metavar="NAME",
        action="append",
        default=[],
        help="do not launch the plugin of this name, but say how to start it by hand, and wait for it",
    )
    return parser


async def run(options: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    addresses = [str(Address.parse(text)) for text in options.listen] or [str(default_addresses()[0])]
    from ..runtime import Launch, Runtime
    from ..secrets import Resolver, secrets_services

    plugins = [Launch.parse(command) for command in options.plugin]
    runtime = Runtime(plugins, plugin_dir=options.plugin_dir, listen=addresses, wait_for=options.wait)
    for service in secrets_services(runtime, Resolver(runtime)):
        runtime.mount(service)
    await _serve(runtime)
    return 0


async def _serve(runtime: Runtime) -> None:
    """Start the runtime and end it in order at a signal, which may come while it starts."""
    import asyncio

    signalled = asyncio.Event()
    for number in ENDING:
        asyncio.get_running_loop().add_signal_handler(number, signalled.set)
    starting, ending = asyncio.create_task(runtime.start()), asyncio.create_task(signalled.wait())
    try:
        await asyncio.wait((starting, ending), return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting
            for address in runtime.addresses:
                print(f"listening on {address}", file=sys.stderr, flush=True)
            await ending
    finally:
        await runtime.close()
        starting.cancel()
        ending.cancel()
        await asyncio.gather(starting, ending, return_exceptions=True)
