"""`plugmux call SERVICE/METHOD [JSON]`: any RPC, with JSON in and out.

Connect speaks JSON itself, so that no schema is needed: the messages pass through as they are. Where the plugin serves
reflection, as all with our SDKs do, the request is held against the schema first, because a server ignores fields that
it does not know. Where it does not, whether the method streams is found by calling it: a Connect server refuses the
content type of the other kind, with 415 (connect-go with 505 for streams both ways), before the method runs.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ...contract.nesting import TooDeep, check_depth
from ...dynamic.suggest import did_you_mean
from ...errors import ConfigError, PlugmuxError
from ..launch.options import in_time
from ..output import write_error, write_json_line
from ..target import Listed, add_target_options, open_target
from ..wording import worded

if TYPE_CHECKING:
    from ...connect import RpcError
    from ...exchange import ClientTransport

__all__ = ["add", "choose", "meant_service", "run"]

METHOD = re.compile(r"/?(?P<service>[A-Za-z_][\w.]*)/(?P<method>[A-Za-z_]\w*)", re.ASCII)


def add(commands: Any) -> argparse.ArgumentParser:
    """Declare the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "call",
        help="call an RPC of a plugin",
        description="Call any RPC with JSON in and out. Each message of the answer is one line.",
        allow_abbrev=False,
    )
    parser.add_argument("method", metavar="SERVICE/METHOD", help="for example kv.v1.KeyValueService/Get")
    parser.add_argument(
        "json",
        metavar="JSON",
        nargs="?",
        default="{}",
        help='the request; "{}" by default, "-" reads stdin; several, one behind the other, for a method that takes a '
        "stream",
    )
    add_target_options(parser)
    parser.add_argument("--name", metavar="PLUGIN", help="the plugin to call, where several serve the service")
    return parser


async def run(options: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    from ...connect import RpcError

    named = METHOD.fullmatch(options.method)
    if named is None:
        raise ConfigError(f"{options.method!r} is not of the form SERVICE/METHOD, as kv.v1.KeyValueService/Get is")
    service, method = named["service"], named["method"]
    requests = _messages(_stdin() if options.json == "-" else options.json)
    async with open_target(options) as target, in_time(options.timeout):
        plugins = await target.plugins()
        name = choose(plugins, service, options.name)
        try:
            async for message in _call(
                target.transport(name), service, method, requests, reflects=name is not None, timeout=options.timeout
            ):
                write_json_line(message, compact=True)
        except RpcError as error:
            details = await _details(error, target.transport(name), service)
            write_error(f"plugmux: {service}/{method}: {worded(error)}{meant_service(plugins, service)}{details}")
            return 1
        except ConfigError:
            raise
        except PlugmuxError as error:  # No plugin serves it, for one.
            raise PlugmuxError(f"{worded(error)}{meant_service(plugins, service)}") from error
    return 0


async def _details(error: RpcError, transport: ClientTransport, service: str) -> str:
    """The lines of an error's details."""
    if not error.details:
        return ""
    from ...dynamic.schema import find_service
    from ..details import details_of

    schema = await find_service(transport, service)
    return details_of(error, () if schema is None else (schema.file.pool,))


def _stdin() -> str:
    try:
        return "" if sys.stdin is None else sys.stdin.read()  # It is `None` where it is closed.
    except UnicodeDecodeError as error:
        raise ConfigError(f"the request on stdin is not JSON: {error}") from None


def _messages(text: str) -> list[object]:
    """The JSON values in a text, one behind the other."""
    decoder, messages, rest = json.JSONDecoder(), [], text.lstrip()
    try:
        check_depth(text)
    except TooDeep as error:
        raise ConfigError(f"the request cannot be sent: {error}") from None
    while rest:
        try:
            message, end = decoder.raw_decode(rest)
        except ValueError as error:
            raise ConfigError(f"the request is not JSON: {error}") from None
        messages.append(message)
        rest = rest[end:].lstrip()
    return messages


def choose(plugins: Sequence[Listed], service: str, name: str | None) -> str | None:
    """The name of the plugin to call; `None` where none serves the service: the runtime may serve it itself.

    Args:
        plugins: all plugins there are.
        service: full name of the service.
        name: the plugin that the user has named.

    Raises:
        ConfigError: several run that serve the service.
        PlugmuxError: the plugin does not run, nor does any other that serves the service.
    """
    meant = [plugin for plugin in plugins if (service in plugin.services if name is None else plugin.name == name)]
    running = [plugin.name for plugin in meant if not plugin.idle]
    if len(running) > 1:
        raise ConfigError(f"{', '.join(running)} all serve {service}; choose one with --name")
    if meant and not running:
        raise PlugmuxError("; ".join(f"plugin {plugin.name!r} does not run: {plugin.why}" for plugin in meant))
    return running[0] if running else name


def meant_service(plugins: Iterable[Listed], service: str) -> str:
    """The end of an error: which service may have been meant by one that no plugin serves."""
    known = {each for plugin in plugins for each in plugin.services}
    return "" if service in known else did_you_mean(service, known)


async def _call(
    transport: ClientTransport,
    service: str,
    method: str,
    requests: Sequence[object],
    *,
    reflects: bool,
    timeout: float | None = None,
) -> AsyncIterator[object]:
    """The messages of the answer, as they come.

    Raises:
        ConfigError: the requests are not what the method takes, or not as many.
        RpcError: the call failed.
    """
    from ...dynamic.calls import WrongKind, call_stream, call_unary
    from ...dynamic.schema import check_requests, find_service, method_of, wrong_number

    schema = await find_service(transport, service) if reflects else None
    described = None if schema is None else method_of(schema, method)
    if described is not None:
        check_requests(described, requests)
    streams = described is not None and (described.client_streaming or described.server_streaming)
    path = f"/{service}/{method}"
    if (
        len(requests) == 1
        and not streams
        and (answer := await call_unary(transport, path, requests[0], timeout)) is not None
    ):
        yield answer[0]
        return
    try:
        async for message in call_stream(transport, path, requests, timeout):
            yield message
    except WrongKind:
        if len(requests) == 1:  # It was called as both.
            raise
        raise wrong_number(path[1:], requests) from None
