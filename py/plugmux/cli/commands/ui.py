"""`plugmux ui`: a page in the browser that shows what a runtime and its plugins do, and calls them."""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from ...errors import ConfigError
from ...platform import ENDING, handle_signals
from ..launch.source import parse_plugins
from ..output import write_error, write_text
from ..target import add_connect_option, add_peer_users_option, open_runtime, runtime_address

if TYPE_CHECKING:
    from ...exchange import ClientTransport
    from ...runtime import Runtime

__all__ = ["add", "run"]


def add(commands: Any) -> argparse.ArgumentParser:
    """Declare the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "ui",
        help="look at a runtime and its plugins in the browser, and call them",
        description="Open a page in the browser that shows a runtime, its plugins and their calls as they happen. It "
        "is served on this machine alone, to the browser that opens the printed address first. Ctrl-C ends it.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "command",
        metavar="CMD",
        nargs="*",
        help="launch this plugin and show it, in place of a runtime that runs: a command, NAME=CMD, or NAME@VERSIONS",
    )
    add_peer_users_option(parser)
    add_connect_option(parser)
    parser.add_argument("--port", type=_port, default=0, metavar="PORT", help="serve the page here; any free port else")
    parser.add_argument("--no-open", action="store_true", help="print the address, and do not open the browser")
    return parser


async def run(options: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    import asyncio

    from ...inspector import PageServer

    if options.command and options.connect:
        raise ConfigError("give plugins to launch, or --connect, not both")
    signalled = asyncio.Event()
    handle_signals(ENDING, signalled.set)
    async with _runtime(options) as (transport, address):
        server = PageServer(transport, address, options.command)
        url = await server.start(options.port)
        try:
            write_text(url)
            if not options.no_open:
                _open(url)
            await signalled.wait()
        finally:
            await server.close()
    return 0


@asynccontextmanager
async def _runtime(options: argparse.Namespace) -> AsyncIterator[tuple[ClientTransport, str]]:
    """The way to the runtime that is shown, and its address; none if it is the command's own."""
    if not options.command:
        yield open_runtime(options), str(runtime_address(options))
        return
    import tempfile

    from ...http import SocketClient
    from ...runtime import Runtime
    from ...secrets import Resolver, secrets_services

    with tempfile.TemporaryDirectory(prefix="plugmux-") as directory:
        runtime: Runtime = Runtime(parse_plugins(options.command), listen=[f"unix:{directory}/runtime.sock"])
        for service in secrets_services(runtime, Resolver(runtime)):
            runtime.mount(service)
        async with runtime:
            yield SocketClient(runtime.addresses[0]), ""


def _open(url: str) -> None:
    """Open the browser, where there is one. What it prints is not ours to show."""
    import webbrowser

    try:
        opened = webbrowser.open(url)
    except webbrowser.Error:
        opened = False
    if not opened:
        write_error("plugmux: no browser was found; open the address yourself")


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: a number from 0 to 65535")
    return int(text)
