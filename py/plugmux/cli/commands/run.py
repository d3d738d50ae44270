"""`plugmux run`: a runtime for everybody of this user, until a signal."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...contract.address import is_network, parse_address
from ...dynamic.suggest import did_you_mean
from ...errors import ConfigError
from ..address import default_addresses
from ..launch.closing import kill_plugins
from ..launch.network import add_network_options, insecure, tls_of
from ..launch.options import add_launch_options, add_plugin_option, configurations, policies_of, with_variables
from ..launch.source import parse_plugins
from ..output import shows_status, write_error
from ..terminal.progress import ending, progress, starting

if TYPE_CHECKING:
    from ...runtime import Launch, Permissions, Runtime, Source

__all__ = ["add", "listen_option", "run", "serve"]


def add(commands: Any) -> argparse.ArgumentParser:
    """Declare the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "run",
        help="run a runtime",
        description="Run a runtime until a signal ends it. When it is ready it says so on stderr: listening on ADDR.",
        allow_abbrev=False,
    )
    add_plugin_option(parser, "launch this plugin")
    parser.add_argument("--plugin-dir", metavar="DIR", help="launch every plugin in this directory")
    parser.add_argument(
        "--plugin-path",
        metavar="DIR",
        action="append",
        help="look here for NAME@VERSIONS; by default in PLUGMUX_PLUGIN_PATH, in the directory plugins "
        "beside the program, and in the user's data directory",
    )
    parser.add_argument(
        "--watch",
        metavar="SECONDS",
        type=_seconds,
        default=0.0,
        help="look at these directories so often, for plugins that are added, removed or replaced",
    )
    add_launch_options(parser, timeout="seconds that any call to a plugin may take; by default no limit")
    listen_option(parser)
    parser.add_argument(
        "--wait",
        metavar="NAME",
        action="append",
        default=[],
        help="do not launch the plugin of this name, but say how to start it by hand, and wait for it",
    )
    _add_permissions(parser)
    add_network_options(parser)
    parser.add_argument(
        "--config-file",
        metavar="FILE",
        help="read plugins, addresses, certificates and who may call what from a TOML file, as plugmux.asgi does "
        "(docs/remote.md); options are added to what it says",
    )
    _add_identities(parser)
    return parser


def _add_permissions(parser: argparse.ArgumentParser) -> None:
    """Add what plugins and clients of this machine may do."""
    parser.add_argument(
        "--access-control",
        metavar="NAME",
        action="append",
        default=[],
        help="the plugin of this name decides on access to secrets: while it cannot be asked, nobody is given any",
    )
    parser.add_argument(
        "--overlapping",
        metavar="NAME",
        action="append",
        default=[],
        help="the plugin of this name may start by itself and serve what another plugin serves",
    )
    parser.add_argument(
        "--socket-use",
        metavar="USE",
        action="append",
        help="serve this use on the socket and no other that is not named: plugins, calls, secrets, manage, observe",
    )


def _add_identities(parser: argparse.ArgumentParser) -> None:
    """Add what others may do over a network, and how they are known."""
    parser.add_argument(
        "--allow",
        metavar="ID=WHAT",
        action="append",
        default=[],
        help="let who has this identity call WHAT from another machine: a service, package.*, /service/method, *, "
        "secrets:PATTERN, manage or observe; by default nobody may call anything",
    )
    parser.add_argument(
        "--identity",
        metavar="NAME=ID",
        action="append",
        default=[],
        help="let who has this identity register as plugin NAME, and nobody register a name that is not given; by "
        "default a plugin registers under the name of its identity",
    )
    parser.add_argument(
        "--proxy",
        metavar="ADDR",
        action="append",
        default=[],
        help="connections from this address or network, such as 10.1.0.0/16, begin with a header of the PROXY "
        "protocol, version 2, and no others do",
    )


def _allowed(texts: Sequence[str]) -> dict[str, list[str]]:
    """Read what `--allow` says; an identity has no `=`."""
    found: dict[str, list[str]] = {}
    for text in texts:
        who, equals, what = text.partition("=")
        if not (who and equals and what):
            raise ConfigError(f"--allow {text!r} is not of the form ID=WHAT")
        found.setdefault(who, []).append(what)
    return found


def _identities(texts: Sequence[str]) -> dict[str, list[str]]:
    """Read what `--identity` says."""
    found: dict[str, list[str]] = {}
    for text in texts:
        name, equals, who = text.partition("=")
        if not (name and equals and who):
            raise ConfigError(f"--identity {text!r} is not of the form NAME=ID")
        found.setdefault(name, []).append(who)
    return found


def listen_option(parser: argparse.ArgumentParser) -> None:
    """Add `--listen`."""
    parser.add_argument(
        "--listen",
        metavar="ADDR",
        action="append",
        default=[],
        help="listen at unix:/path, unix:@name or tls://host:port; by default at a socket of the user's own",
    )


async def run(options: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    listen = [parse_address(text, insecure_tcp=insecure(options)) for text in options.listen]
    addresses = list(map(str, listen)) or [str(default_addresses()[0])]
    in_network = [*options.listen, *(text.rpartition("=")[2] for text in options.plugin)]
    tls = tls_of(options) if any(map(is_network, in_network)) else None
    from ...runtime import Host, Runtime
    from ...runtime.settings import Permissions

    sources = _sources(options)
    said = Permissions()
    if options.config_file is not None:
        from ...gateway.config import GatewayConfig

        config = GatewayConfig.read(options.config_file)
        sources, said, tls = [*sources, *config.plugins], config.permissions, tls or config.host.tls
        addresses = [*map(str, listen), *config.listen] or addresses
    runtime = Runtime(
        with_variables(sources, options),
        configuration=_configurations(options, sources),
        listen=addresses,
        policies=policies_of(options, request=options.timeout),
        permissions=permissions_of(options, said),
        host=Host(tls=tls),
    )
    await serve(runtime)
    return 0


def permissions_of(options: argparse.Namespace, said: Permissions) -> Permissions:
    """What the options permit, beside what a file says."""
    from ...runtime.settings import ALL_USES, Permissions

    identities = _added(said.identities or {}, _identities(options.identity))
    return Permissions(
        access_control=options.access_control,
        overlapping=options.overlapping,
        socket=ALL_USES if options.socket_use is None else options.socket_use,
        allow=_added(said.allow, _allowed(options.allow)),
        identities=identities if identities or said.identities is not None else None,
        replicated=said.replicated,
        insecure_tcp=insecure(options),
        proxies=[*options.proxy, *said.proxies],
    )


def _added(said: Mapping[str, str | Collection[str]], given: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """What a file says by name, and what options add to it."""
    both: dict[str, list[str]] = {}
    for name, values in (*said.items(), *given.items()):
        both.setdefault(name, []).extend([values] if isinstance(values, str) else values)
    return both


def _sources(options: argparse.Namespace) -> Sequence[Launch | Source]:
    """What the options name to be run."""
    path = options.plugin_path
    sources: list[Launch | Source] = []
    for option, folder in [("--plugin-dir", options.plugin_dir), *(("--plugin-path", each) for each in path or ())]:
        if folder is not None and not os.path.isdir(os.path.expanduser(folder)) and not set("*?[{") & set(folder):
            raise ConfigError(f"{option} {folder}: there is no such directory")
    if options.plugin_dir is not None:
        from ...discovery import Directory, default_path

        path = [options.plugin_dir, *(default_path() if path is None else path)]
        sources.append(Directory(options.plugin_dir, watch=options.watch))
    sources += parse_plugins(options.plugin, on_path=options.on_path, path=path, watch=options.watch)
    if not options.wait:
        return sources
    from ...runners.manual import by_hand

    return by_hand(sources, options.wait)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 0")
    return seconds


def _configurations(options: argparse.Namespace, sources: Sequence[Launch | Source]) -> dict[str, Any]:
    """What `--config` gives; a name of no plugin that is launched may be that of one that connects by itself."""
    if not options.config:
        return {}
    from ...runtime import Launch

    names = [
        name
        for source in sources
        for name in ([source.name] if isinstance(source, Launch) else [plugin.name for plugin in source.find()])
    ]
    found = configurations(options.config, names, others=True)
    for name in found.keys() - set(names):
        write_error(
            f"plugmux: --config: no plugin {name!r} is launched{did_you_mean(name, names)}; the configuration is kept "
            "for a plugin of that name that connects by itself"
        )
    return found


async def serve(runtime: Runtime, work: Callable[[], Coroutine[Any, Any, None]] | None = None) -> None:
    """Start a runtime with the secrets of its plugins, and end it in order at a signal, also while it starts.

    Args:
        runtime: the runtime.
        work: what to do meanwhile, from when it is ready until the signal.
    """
    import asyncio

    from ...aio.race import race
    from ...platform import ENDING, handle_signals
    from ...runtime import State
    from ...secrets import Resolver, secrets_services

    for service in secrets_services(runtime, Resolver(runtime)):
        runtime.mount(service)
    signalled = asyncio.Event()

    def end() -> None:
        if signalled.is_set():
            kill_plugins(runtime)
        elif shows_status() and any(plugin.state in (State.RUNNING, State.REGISTERING) for plugin in runtime.plugins()):
            write_error("ending the plugins; once more (Ctrl-C) kills them")
        signalled.set()

    handle_signals(ENDING, end)
    try:
        await race(_start(runtime, work), signalled.wait())
    finally:
        async with progress(ending(runtime)):
            await runtime.close()


async def _start(runtime: Runtime, work: Callable[[], Coroutine[Any, Any, None]] | None) -> None:
    import asyncio

    async with progress(starting(runtime)):
        await runtime.start()
    for address in runtime.addresses:
        write_error(f"listening on {address}")
    await (work() if work is not None else asyncio.Event().wait())
